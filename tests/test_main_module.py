"""Ctrl-C while the program is being imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tunebox.errors import EXIT_INTERRUPTED

# what the import of the command line does, with a Ctrl-C in its midst
PRESS = """
import atexit, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            atexit.unregister(print)  # tunebox.errors is imported again
            atexit.register(print, "the end")
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
from tunebox.__main__ import main
main()
"""


# a library that tunebox.errors imports, one of the command line, and a module of tunebox
@pytest.mark.parametrize("module", ["pydantic", "typer", "tunebox.cli.main"])
def test_ctrl_c_during_the_import_leaves_no_traceback(module: str) -> None:
    done = subprocess.run([sys.executable, "-c", PRESS, module], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (EXIT_INTERRUPTED, "the end\n", "")


def test_code_at_the_end_of_the_process_does_not_change_the_exit_code() -> None:
    # what C++ code of a library may do when it is taken down: here, end the process by itself
    aborting = "import ctypes; libc = ctypes.CDLL(None)\n"
    aborting += "libc.__cxa_atexit(ctypes.cast(libc.abort, ctypes.c_void_p), None, None)\n"
    command = [sys.executable, "-c", aborting + PRESS, "typer"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (EXIT_INTERRUPTED, "the end\n", "")


def test_little_is_imported_before_ctrl_c_is_handled() -> None:
    show = "import sys, tunebox.__main__; print(*sys.modules)"
    # without site, which may import more by itself
    shown = subprocess.run([sys.executable, "-S", "-c", show], capture_output=True, text=True)
    modules = {name for name in shown.stdout.split() if name.startswith("tunebox")}
    assert modules == {"tunebox", "tunebox.__main__", "tunebox.proxies"}
    assert not {"typing", "importlib.metadata", "email", "pydantic"} & {*shown.stdout.split()}
