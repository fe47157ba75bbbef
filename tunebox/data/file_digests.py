"""Digests of files' contents, remembered with their sizes and times. Imports no torch."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeAlias

from tunebox.data.image_file import ImageFileError
from tunebox.data.listing import FileItem, Item
from tunebox.data.read_files import read_files

_BLOCK = 1 << 20
_NO_CONTENT = "-"  # of a file that cannot be read: whoever decodes it says why

_State: TypeAlias = tuple[int, int, int]  # bytes, and when content and properties last changed


class FileDigests:
    """Digests of files, each valid while size, modification and change time of the file stay.

    Where the bytes of a file are read anyway, `noting` renews its digest whatever the times say.
    """

    def __init__(self, path: Path) -> None:
        """Take over what is remembered.

        Args:
            path: The file that remembers; one that is absent or damaged has nothing.
        """
        self._path = path
        self._known = _remembered(path)
        self._is_changed = False
        self._seen: dict[Path, str] = {}  # what this process has read or looked up itself

    def noting(self, item: Item) -> Item:
        """Return an item that reads the same image, and renews the digest of its file."""
        if not isinstance(item, FileItem):
            return item
        return _Noting(item.path, item.named_in, digests=self)

    def note(self, path: Path, state: _State, content: bytes) -> None:
        """Remember the content of a file that was in ``state`` before it was read."""
        self._keep(path, state, blake2b(content, digest_size=16).hexdigest())

    def of(self, paths: Iterable[Path]) -> list[str]:
        """Return the digests of files; those that are not known are read, on all cores.

        A file keeps the digest that it had first here, so that one that is changed meanwhile is
        not taken for what was read of it.

        Raises:
            DataError: A file could not be reached, which says nothing about its content.
        """
        paths = list(paths)
        new = [path for path in dict.fromkeys(paths) if path not in self._seen]
        unknown = [path for path in new if not self._look_up(path)]
        for path, read in zip(unknown, read_files(unknown, len(unknown), _read), strict=True):
            if read.result is not None:
                self._keep(path, *read.result)
        return [self._seen.get(path, _NO_CONTENT) for path in paths]

    def save(self) -> None:
        """Write what is known to the file, which appears at once and whole.

        Raises:
            OSError: It cannot be written.
        """
        if not self._is_changed:
            with suppress(FileNotFoundError):
                os.utime(self._path)  # used now
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, new = tempfile.mkstemp(prefix=".new-", dir=self._path.parent)
        try:
            with open(handle, "w", encoding="utf-8", errors="surrogatepass") as file:
                json.dump(self._known, file)
            os.replace(new, self._path)
        except BaseException:
            Path(new).unlink(missing_ok=True)
            raise
        self._is_changed = False

    def _keep(self, path: Path, state: _State, digest: str) -> None:
        self._seen[path] = digest
        entry = [*state, digest]
        if self._known.get(_key(path)) != entry:
            self._known[_key(path)] = entry
            self._is_changed = True

    def _look_up(self, path: Path) -> bool:
        """Return whether the digest is known, or the file cannot be read anyway."""
        *state, digest = self._known.get(_key(path), [None])
        try:
            if tuple(state) != file_state(path):
                return False
        except OSError:  # whoever decodes it says so
            return True
        self._seen[path] = str(digest)
        return True


@dataclass(frozen=True, kw_only=True)
class _Noting(FileItem):
    """A file that is read once, for its image and for its digest."""

    digests: FileDigests

    def content(self) -> bytes:
        state = file_state(self.path)
        content = super().content()
        self.digests.note(self.path, state, content)
        return content


def _key(path: Path) -> str:
    return os.path.abspath(path)


def file_state(path: Path) -> _State:
    """Return size and times, which change with the content of a file."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(path: Path) -> tuple[_State, str]:
    if not path.is_file():
        raise ImageFileError("is not a file")  # a folder, or a pipe, which would block
    state = file_state(path)
    digest = blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return state, digest.hexdigest()


def _remembered(path: Path) -> dict[str, list[Any]]:
    try:
        known = json.loads(path.read_text(encoding="utf-8", errors="surrogatepass"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {name: entry for name, entry in known.items() if isinstance(entry, list) and entry}
