"""Atomic writes, and formats of files."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tunebox.errors import RecordsError, reading
from tunebox.records.checksum import is_intact, with_crc

_UNFINISHED = ".part"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block succeeds.

    A reader sees either the old file or the new one, even after a power cut. An error keeps the
    old file. `remove_unfinished` removes the temporary files of killed processes.
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
    """Remove the temporary files of killed processes; nobody may be writing into ``folder``.

    Raises:
        OSError: The folder is gone, or cannot be written to.
    """
    for path in folder.iterdir():
        if path.name.startswith(".") and path.suffix == _UNFINISHED:
            path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flush the file names in ``folder`` to the disk, if the file system can."""
    with suppress(OSError):  # some network file systems cannot
        _sync(folder)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` in UTF-8 to ``path`` atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``content``, whose ``format`` is the newest, with a checksum to ``path`` atomically."""
    write_text(path, with_crc(json.dumps(content, indent=1).encode()).decode() + "\n")


def read_json(path: Path, newest: int) -> dict[str, Any]:
    """Return what `write_json` has written, or an earlier version of tunebox without a checksum.

    Args:
        path: Path of the file.
        newest: The newest format, which has brought the checksum.

    Raises:
        RecordsError: A later version of tunebox wrote it.
        OSError, ValueError, TypeError, RecursionError: It is missing or damaged.
    """
    text = path.read_bytes()
    content = dict(json.loads(text))
    if not is_intact(text, content, newest):
        raise ValueError("its checksum is wrong")
    check_format(path, content, newest)
    return content


def json_mapping(content: bytes) -> dict[str, Any] | None:
    """Return the JSON mapping in ``content``, None if it is damaged or something else."""
    try:
        with reading("JSON"):
            found = json.loads(content)
    except RecordsError:
        return None
    return found if isinstance(found, dict) else None


def check_format(path: Path, content: Mapping[str, Any], known: int) -> None:
    """Raise RecordsError if a later version of tunebox wrote ``content`` of the file ``path``.

    Args:
        path: Path for the error message.
        content: Content of the file. Its ``format`` is an integer; without one it is 1.
        known: The newest format that this version can read.
    """
    found = content.get("format", 1)
    if not isinstance(found, int) or found > known:
        raise RecordsError(f"{path} has format {found!r}, made by a newer tunebox; update tunebox")
