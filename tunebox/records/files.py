"""Files that are never seen half written."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tunebox.errors import RecordsError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block succeeds.

    A reader sees the old file or the new one; after an error only the old one is there.
    """
    handle, temporary_name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(temporary_name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp lets only the owner read
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def write_text(path: Path, text: str) -> None:
    """Write ``text`` in UTF-8 to ``path`` in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_format(path: Path, content: Mapping[str, Any], known: int) -> None:
    """Raise RecordsError if a later version of tunebox wrote ``content`` of the file ``path``.

    Args:
        path: Named in the error.
        content: Its ``format`` is a number that grows; that of a file without one is 1.
        known: The last format that this version can read.
    """
    found = content.get("format", 1)
    if not isinstance(found, int) or found > known:
        raise RecordsError(f"{path} has format {found!r}, made by a newer tunebox; update tunebox")
