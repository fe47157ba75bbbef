"""The journal of a search: its events as lines of JSON, written as they happen.

A resume starts from it, so it is written before everything else and never rewritten. The
first line is a header with the format. A line goes to the operating system at once, and to the
disk within a second, at the end of a trial at once: a killed process loses nothing, a machine
that loses power at most a second of reports, which the checkpoints of their trials repeat.

The last field of each line is its checksum, ``crc`` (`tunebox.records.checksum`). Journals of
format 1 have none, and go on without.

A float that JSON cannot express is written as ``{"float": "nan"}``.
"""

import contextlib
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunebox import __version__
from tunebox.decisions.events import (
    Ended,
    Event,
    Observer,
    Paused,
    Planned,
    Promoted,
    Reported,
    SearchEnded,
    SearchStarted,
    Started,
)
from tunebox.decisions.trials import Report, TrialState
from tunebox.errors import RecordsError, describe_error
from tunebox.records.checksum import has_crc, is_intact, with_crc
from tunebox.records.files import check_format, sync_folder
from tunebox.spec.search_settings import check_name
from tunebox.spec.space import Scalar, Values
from tunebox.text import shell_command

FORMAT = 2  # 1 had no checksums
_SYNC_PAUSE = 1.0  # seconds


@dataclass(frozen=True)
class Journal:
    """The content of a journal: the events of a search in order."""

    events: list[Event]
    size: int  # bytes of whole lines; what follows them is damaged
    warning: str | None  # a line, if something follows them


def make_journal(path: Path, search: str) -> None:
    """Write the header of the journal of ``search``, unless there is one.

    Raises:
        OSError: The disk is full, or the folder is gone.
    """
    with path.open("ab") as file:
        if file.tell() == 0:
            header = {"format": FORMAT, "tunebox": __version__, "search": search}
            file.write(_header_line(header))
            file.flush()
            os.fsync(file.fileno())
            sync_folder(path.parent)


class JournalWriter(Observer):
    """Appends every event of a search to its journal."""

    def __init__(self, path: Path, search: str) -> None:
        """Remember the file; the first event opens it.

        Args:
            path: File of the journal; made when absent, else lines are added.
            search: Name of the search.
        """
        self._path = path
        self._search = search
        self._file: int | None = None
        self._has_checksums = True
        self._is_broken = False
        self._is_synced = True
        self._sync_time = 0.0

    def on(self, event: Event) -> None:
        """Write a line; the end of a trial is on the disk when this returns.

        Raises:
            OSError: The disk is full, or the folder is gone. The line is then not in the journal,
                and no later one will be.
        """
        if isinstance(event, SearchStarted):
            make_journal(self._path, self._search)
            with self._path.open("rb") as file:
                self._has_checksums = has_crc(file.readline())  # all lines are like the first
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        if self._file is None:
            return
        try:
            self._append(event_to_json(event))
            if isinstance(event, SearchStarted | Ended | SearchEnded):
                self._sync()
        finally:
            if isinstance(event, SearchEnded):
                os.close(self._file)
                self._file = None

    def tick(self) -> None:
        """Flush to the disk, at most once a second."""
        if not self._is_synced and time.monotonic() - self._sync_time >= _SYNC_PAUSE:
            self._sync()

    def _append(self, event: Mapping[str, Any]) -> None:
        if self._file is None or self._is_broken:
            return
        content = json.dumps(_plain(event), allow_nan=False).encode()
        line = (with_crc(content) if self._has_checksums else content) + b"\n"
        before = os.fstat(self._file)
        try:
            # A file that was removed can still be written to. Looked at before the line is
            # written: a line that is there has been acknowledged, and all observers get its event.
            if not os.path.samestat(os.stat(self._path), before):
                raise FileNotFoundError(2, "another file has taken its place")
            if os.write(self._file, line) < len(line):
                raise OSError(28, "No space left on device")
        except OSError as error:
            self._is_broken = True
            with contextlib.suppress(OSError):  # of a disk that is read-only by now
                os.ftruncate(self._file, before.st_size)  # half a line must not stay behind
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        self._is_synced = False

    def _sync(self) -> None:
        if self._file is None or self._is_broken:
            return
        self._sync_time = time.monotonic()
        self._is_synced = True
        try:
            os.fsync(self._file)
        except OSError as error:
            self._is_broken = True
            raise OSError(error.errno, error.strerror, str(self._path)) from error


def read_journal(path: Path) -> Journal:
    """Return the events of a search that reached the disk.

    Unreadable lines at the end are left out: a power cut can leave them.

    Raises:
        RecordsError: There is no journal, it is damaged before its last lines, or a later version
            of tunebox wrote it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordsError(
            f"{path} cannot be read: {error.strerror}; no search can be resumed without its journal"
        ) from error
    if not content:  # the header is on the disk before the search begins
        raise RecordsError(
            f"{path} is empty: put it back as it was; no search can be resumed without its journal"
        )
    lines = content.splitlines(keepends=True)
    reader = JournalReader(path)
    found = [reader.read(line) for line in lines]
    num_kept = 0 if len(found) == 1 else 1  # a header that something follows is no damaged end
    while len(found) > num_kept and isinstance(found[-1], Damage):
        found.pop()
    for number, event in enumerate(found, start=1):
        if isinstance(event, Damage):
            raise RecordsError(
                f"{path}: line {number} is damaged ({event.reason}); {_way_on(path, number, lines)}"
            )
    size = sum(map(len, lines[: len(found)]))
    cut = len(content) - size
    warning = f"{path}: the last {cut} bytes are damaged and were cut off" if cut else None
    events = [event for event in found if event is not None and not isinstance(event, Damage)]
    return Journal(events, size, warning)


def cut_journal(path: Path, journal: Journal) -> None:
    """Cut off the damaged end of the journal, so that lines can be added.

    Raises:
        OSError: The file cannot be written to.
    """
    if journal.warning is not None:
        os.truncate(path, journal.size)


@dataclass(frozen=True)
class Damage:
    """A line that cannot be read, or that is not as it was written."""

    reason: str


class JournalReader:
    """Reads a journal line by line, from its header on, which says whether there are checksums."""

    def __init__(self, path: Path) -> None:
        """Start before the header.

        Args:
            path: Path for error messages.
        """
        self._path = path
        self._is_at_start = True
        self._has_checksums = True

    def read(self, line: bytes) -> Event | Damage | None:
        """Return the event of the next line, or what is wrong with it; None for the header.

        Raises:
            RecordsError: It is no header of a journal, or that of a later version of tunebox.
        """
        if self._is_at_start:
            self._is_at_start = False
            return self._header(line)
        try:
            entry = _parse(line)
            if self._has_checksums and not has_crc(line):
                return Damage("its checksum is wrong")
            return event_from_json(_restored(entry))
        except Exception as error:  # it may be damaged, or written by another program, in any way
            return Damage(f"no event of a search: {describe_error(error)}")

    def _header(self, line: bytes) -> Damage | None:
        try:
            header = _parse(line)
        except Exception:  # see above
            return Damage("it is not the header of a journal")
        if "format" not in header and "crc" not in header:
            raise RecordsError(f"{self._path}: line 1 is not the header of a journal of tunebox")
        if not is_intact(line, header, FORMAT):
            return Damage("its checksum is wrong")
        check_format(self._path, header, FORMAT)
        self._has_checksums = has_crc(line)
        return None


def _way_on(path: Path, number: int, lines: Sequence[bytes]) -> str:
    if number == 1:
        header = _header_line({"format": FORMAT} if any(map(has_crc, lines)) else {"format": 1})
        change = shell_command("sed", "-i", f"1c {header.decode().strip()}", path)
        return f"write it anew with: {change}"
    cut = shell_command("sed", "-i", f"{number},$d", path)
    return (
        f"to go on from before it, cut it and what follows off with: {cut} "
        "(what came later is run again)"
    )


def _header_line(header: Mapping[str, Any]) -> bytes:
    content = json.dumps(header).encode()
    return (with_crc(content) if header["format"] == FORMAT else content) + b"\n"


def _parse(line: bytes) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise ValueError("it was cut short")
    entry = json.loads(line)
    if not isinstance(entry, dict):
        raise TypeError("it holds no mapping")
    return entry


def event_to_json(event: Event) -> dict[str, Any]:
    """Return the line of the journal for ``event``, before it is encoded."""
    match event:
        case Planned(trial, settings, seed, gain):
            planned = {"event": "planned", "trial": trial, "settings": settings, "seed": seed}
            return planned if gain is None else {**planned, "expected_gain": gain}
        case Started(trial, time):
            return {"event": "started", "trial": trial, "time": time}
        case Reported(trial, report, node, memory):
            reported = {"event": "reported", "trial": trial, **vars(report), "node": node}
            return reported if memory is None else {**reported, "memory": memory}
        case Paused(trial, time):
            return {"event": "paused", "trial": trial, "time": time}
        case Promoted(trial):
            return {"event": "promoted", "trial": trial}
        case Ended(trial, state, reason, time):
            ended = {"state": state.value, "reason": reason, "time": time}
            return {"event": "ended", "trial": trial, **ended}
        case SearchStarted():
            return {"event": "search_started", "tunebox": __version__, **vars(event)}
        case SearchEnded():
            return {"event": "search_ended", **vars(event)}


def event_from_json(entry: Mapping[str, Any]) -> Event:
    """Return the event of a line.

    Raises:
        KeyError, TypeError, ValueError: The line is not an event.
    """
    match entry["event"]:
        case "search_started":
            return SearchStarted(float(entry["time"]), str(entry["host"]), int(entry["pid"]))
        case "search_ended":
            trouble = _text(entry.get("trouble"))
            return SearchEnded(float(entry["time"]), bool(entry["interrupted"]), trouble)
    trial_id = entry["trial"]
    check_name(trial_id)  # it is the name of a folder too
    match entry["event"]:
        case "planned":
            seed = entry.get("seed")  # 0.1.0 wrote none
            settings = _settings(entry["settings"])
            gain = entry.get("expected_gain")
            return Planned(
                trial_id,
                settings,
                None if seed is None else int(seed),
                None if gain is None else float(gain),
            )
        case "started":
            return Started(trial_id, float(entry["time"]))
        case "reported":
            metrics = {str(name): float(value) for name, value in entry["metrics"].items()}
            report = Report(int(entry["epoch"]), metrics, float(entry["time"]))
            memory = entry.get("memory")
            return Reported(
                trial_id, report, _text(entry["node"]), None if memory is None else int(memory)
            )
        case "paused":
            return Paused(trial_id, float(entry["time"]))
        case "promoted":
            return Promoted(trial_id)
        case "ended":
            state = TrialState(entry["state"])
            return Ended(trial_id, state, _text(entry["reason"]), float(entry["time"]))
        case kind:
            raise ValueError(f"unknown event {kind!r}")


def _settings(values: Any) -> Values:
    settings = dict(values)
    if not all(isinstance(value, Scalar) for value in settings.values()):
        raise TypeError("a setting has more than one value")
    return settings


def _text(value: Any) -> str | None:
    if not isinstance(value, str | None):
        raise TypeError(f"{value!r} is no text")
    return value


def _plain(value: Any) -> Any:
    """Return ``value`` in a form that JSON can express."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _restored(value: Any) -> Any:
    """Return the value that `_plain` was given."""
    if not isinstance(value, dict):
        return value
    if set(value) == {"float"}:
        return float(value["float"])
    return {key: _restored(item) for key, item in value.items()}
