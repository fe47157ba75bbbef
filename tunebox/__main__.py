"""``python -m tunebox``."""

from tunebox.cli import main

if __name__ == "__main__":
    main()
