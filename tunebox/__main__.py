"""The program ``tunebox``, and ``python -m tunebox``."""

import sys

from tunebox.errors import EXIT_INTERRUPTED


def main() -> None:
    """Run the command line; Ctrl-C ends it without a traceback, even while it is imported."""
    try:
        from tunebox.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
