"""A folder with a mark in it: a node that finds the mark has the driver's folder at its path."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class MarkedFolder:
    """Where the mark lies, as `tunebox.search.node_probe.storage_trouble` looks for it."""

    folder: str
    token: str

    def has_mark_of(self, node_id: str) -> bool:
        """Whether the node wrote into this folder, and not into one of its own."""
        try:
            return (Path(self.folder) / node_id).read_text() == self.token
        except OSError:
            return False


@contextmanager
def marked_folder(place: Path) -> Iterator[MarkedFolder]:
    """Make the folder ``place`` with a new random mark, and remove it at the end.

    Raises:
        OSError: It cannot be made or written.
    """
    place = place.absolute()
    place.mkdir(parents=True, exist_ok=True)
    try:
        token = secrets.token_hex(16)
        (place / "token").write_text(token)
        yield MarkedFolder(str(place), token)
    finally:
        shutil.rmtree(place, ignore_errors=True)
