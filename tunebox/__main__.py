"""The program ``tunebox``, and ``python -m tunebox``."""

import atexit
import os
import sys


def main() -> None:
    """Run the command line; Ctrl-C ends it without a traceback, even while it is imported."""
    exit_code = None
    try:
        # What is registered first is called last, after all that libraries do at the end.
        atexit.register(lambda: _end_at_once(exit_code))
        from tunebox.cli.main import main as run

        run()
    except KeyboardInterrupt:
        import signal

        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one must not disturb the end
        from tunebox.errors import EXIT_INTERRUPTED

        exit_code = EXIT_INTERRUPTED
        sys.exit(exit_code)


def _end_at_once(exit_code: "int | None") -> None:
    """End the process with ``exit_code``, if there is one, before C++ code is taken down.

    Where Ctrl-C came while Ray started, Ray's calls a part of itself that is gone, and ends the
    process with exit code 1 and no message.
    """
    if exit_code is None:
        return
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # its reader is gone
            pass
    os._exit(exit_code)


if __name__ == "__main__":
    main()
