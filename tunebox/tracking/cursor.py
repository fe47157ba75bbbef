"""The file of a search that names its MLflow runs. What the runs have is asked of MLflow."""

import hashlib
import logging
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import FiniteFloat, TypeAdapter
from typing_extensions import NotRequired, TypedDict

from tunebox import __version__
from tunebox.clock import now
from tunebox.errors import RecordsError, reading
from tunebox.records.checksum import is_intact
from tunebox.records.files import check_format, json_mapping, write_json
from tunebox.records.search_folder import SearchFolder
from tunebox.text import printable
from tunebox.tracking.stores import is_store, local_uri, portable_uri

_log = logging.getLogger(__name__)

FORMAT = 2
Key = str | None  # the id of a trial, None: the search


class _Noted(TypedDict):
    """What the file has; other fields are ignored."""

    search_id: str
    tracking_uri: str
    parent_run_id: NotRequired[str]
    creating: NotRequired[list[tuple[str | None, FiniteFloat]]]
    files: NotRequired[dict[str, str]]


_NOTED = TypeAdapter(_Noted)


class Cursor:
    """Which runs of which store are those of a search.

    Attributes:
        search_id: Begins the tag that each run of the search has, and no other run.
        tracking_uri: Where the runs are, without credentials.
        run_id: The run of the search; None before it is made.
        creating: When a server was asked for a run that is not known to be made.
        files: Fingerprints of the files of the search that MLflow has.
        warnings: What went wrong without stopping the search.
    """

    def __init__(self, folder: SearchFolder, tracking_uri: str) -> None:
        """Read what is there; `open` writes.

        Args:
            folder: The folder of the search.
            tracking_uri: Without credentials; noted where no other is.

        Raises:
            RecordsError: The file cannot be read, or a later version of tunebox wrote it.
        """
        found = read_noted(folder)
        self._folder = folder
        self._is_noted = "search_id" in found
        self.path = folder.mlflow
        self.search_id: str = found.get("search_id", "")
        self.tracking_uri: str = found.get("tracking_uri", tracking_uri)
        self.run_id: str | None = found.get("parent_run_id")
        self.creating: dict[Key, float] = {key: moment for key, moment in found.get("creating", ())}
        self.files: Mapping[str, str] = found.get("files", {})
        self.warnings: list[str] = []

    def open(self, has_past: bool) -> None:
        """Name the search and note it.

        Args:
            has_past: The search has trials already, so that a file should be there.
        """
        if has_past and not self._is_noted:
            self._warn(f"{self.path} is missing or damaged; its runs are looked up in MLflow")
        self.search_id = self.search_id or _id_from_journal(self._folder.journal)
        self.save()

    def key_tag(self, key: Key) -> str:
        """Return what the run of a trial, or of the search, is tagged with, and no other run."""
        return f"{self.search_id}/{key or ''}"

    def note_creating(self, keys: Iterable[Key]) -> None:
        """Note that a server is about to be asked for runs.

        Without the note, a process after this one could ask a second time.
        """
        self.creating |= dict.fromkeys(keys, now())
        self.save()

    def start_again(self) -> None:
        """Forget the runs in a store that has been emptied."""
        self.run_id, self.creating, self.files = None, {}, {}
        self.save()
        self.warnings.append(
            f"MLflow at {self.tracking_uri} has none of the runs of this search any more: all is "
            "sent again; for other searches that were in it, run tunebox sync NAME"
        )

    def save(self) -> None:
        """Write all to the disk."""
        content = {
            "format": FORMAT,  # 1 was that of version 0.1.0, without a checksum
            "version": __version__,
            "search_id": self.search_id,
            "tracking_uri": portable_uri(self.tracking_uri, self._folder.root.parent),
            "parent_run_id": self.run_id,
            "creating": list(self.creating.items()),
            "files": self.files,
        }
        try:
            write_json(self.path, content)
        except OSError as error:  # a full disk: MLflow gets all the same
            self._warn(f"{self.path}: not written: {error.strerror or error}")

    def _warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)
            _log.warning("%s", printable(message))


def read_noted(folder: SearchFolder) -> dict[str, Any]:
    """Return what is noted of the runs of a search; empty if there is nothing that makes sense.

    A search of version 0.1.0 noted its name and store in the first line of its outbox before the
    file was there.

    Raises:
        RecordsError: A file cannot be read, or a later version of tunebox wrote it.
    """
    for path in (folder.mlflow, folder.outbox):
        try:
            content = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise RecordsError(f"{path} cannot be read: {error.strerror}") from error
        text = content.partition(b"\n")[0] if path == folder.outbox else content
        found = json_mapping(text)
        if found is None or not is_intact(text, found, FORMAT):
            continue  # what was damaged by a failing disk is looked up in MLflow
        check_format(path, found, FORMAT)
        noted = {name: value for name, value in found.items() if value is not None}
        with suppress(RecordsError), reading(path):
            _NOTED.validate_python(noted)
            if is_store(noted["tracking_uri"]):
                noted["tracking_uri"] = local_uri(noted["tracking_uri"], folder.root.parent)
                return noted
    return {}


def _id_from_journal(journal: Path) -> str:
    """Return an id made of the journal's first event, when and where the search was started."""
    try:
        with journal.open("rb") as file:
            file.readline()  # a header, the same for all searches of a name
            first = file.readline()
    except OSError:
        first = b""
    return hashlib.sha256(first).hexdigest()[:32] if first.strip() else uuid.uuid4().hex
