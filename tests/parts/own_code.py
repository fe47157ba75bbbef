"""The network, loss, noise, metric and data set of a user, as docs/extending.md has them."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
# "In `parts.py`:" and the block behind it
_FILE = re.compile(r"[Ii]n `([\w.]+)`:\n\n```\w+\n(.*?)```", re.DOTALL)
FILES: dict[str, str] = dict(_FILE.findall(PAGE.read_text(encoding="utf-8")))
COMMANDS = re.findall(r"^\$ (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def write_own(folder: Path, module: str = "parts.py") -> Path:
    """Write the code and a search file that uses it into ``folder``; return the search file.

    Args:
        folder: Made if it is not there.
        module: How the search file names the code: a file, or a module of a package.
    """
    path = folder / (module if module.endswith(".py") else module.replace(".", "/") + ".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FILES["parts.py"], encoding="utf-8")
    file = folder / "camera.yaml"
    file.write_text(FILES["camera.yaml"].replace("parts.py", module), encoding="utf-8")
    return file
