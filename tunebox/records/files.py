"""Files that are never seen half written."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tunebox.errors import RecordsError

_UNFINISHED = ".part"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block succeeds.

    A reader sees the old file or the new one, after a power cut too; after an error only the old
    one is there. What a killed process leaves is for `remove_unfinished`.
    """
    handle, temporary_name = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name}.", suffix=_UNFINISHED
    )
    os.close(handle)
    temporary = Path(temporary_name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp lets only the owner read
        _sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove the files that killed processes were writing into ``folder``; nobody may be now.

    Raises:
        OSError: The folder is gone, or cannot be written to.
    """
    for path in folder.iterdir():
        if path.name.startswith(".") and path.suffix == _UNFINISHED:
            path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Let the names of the files in ``folder`` outlast a power cut, where the disk can do so."""
    with suppress(OSError):  # some network file systems cannot
        _sync(folder)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


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
