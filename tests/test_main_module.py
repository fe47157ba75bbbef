"""Ctrl-C while the program is being imported."""

from __future__ import annotations

import subprocess
import sys

from tunebox.errors import EXIT_INTERRUPTED

# what the import of the command line does, with a Ctrl-C in its midst
PRESS = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
from tunebox.__main__ import main
main()
"""


def test_ctrl_c_during_the_import_leaves_no_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", PRESS], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (EXIT_INTERRUPTED, "", "")
