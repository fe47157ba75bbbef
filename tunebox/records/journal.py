"""The journal of a search: what happened to its trials, a line of JSON each, as it happens.

It is what a resume starts from, so it is told before everything else, and never rewritten. The
first line is a header with the format. A line goes to the operating system at once, and to the
disk within a second, at the end of a trial at once: a killed process loses nothing, a machine
that loses power at most a second of reports, which the checkpoints of their trials repeat.

A float that JSON has no number for is written as ``{"float": "nan"}``.
"""

import json
import math
import os
import shlex
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunebox import __version__
from tunebox.errors import RecordsError, first_line
from tunebox.events import Ended, Planned, Reported, Started, TrialEvent
from tunebox.records.files import check_format, sync_folder
from tunebox.spec.search_spec import check_name
from tunebox.spec.space import Scalar, Values
from tunebox.trials import Report, SearchObserver, TrialLog, TrialRecord, TrialState

FORMAT = 1
_SYNC_PAUSE = 1.0  # seconds

# what a line that is damaged, or was written by somebody else, makes its reading raise
_NO_SENSE = (KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Journal:
    """What a journal holds: the events of trials in order."""

    events: list[TrialEvent]
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
            file.write(json.dumps(header).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            sync_folder(path.parent)


class JournalWriter(SearchObserver):
    """Appends to the journal of a search what it hears.

    Raises:
        OSError: From each hook: the disk is full, or the folder is gone. The line is then not in
            the journal, and no later one will be.
    """

    def __init__(self, path: Path, search: str) -> None:
        """Write nothing yet.

        Args:
            path: Of the journal; made when absent, else lines are added.
            search: The name of the search.
        """
        self._path = path
        self._search = search
        self._file: int | None = None
        self._is_broken = False
        self._is_synced = True
        self._sync_time = 0.0

    def search_started(self, log: TrialLog) -> None:
        """Open the journal."""
        make_journal(self._path, self._search)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        self._append({"event": "search_started", **_here(), "time": time.time()})
        self._sync()

    def trial_planned(self, trial_id: str, settings: Values) -> None:
        """Note the settings of a trial."""
        self._append({"event": "planned", "trial": trial_id, "settings": settings})

    def trial_started(self, trial: TrialRecord) -> None:
        """Note that a trial runs."""
        self._append({"event": "started", "trial": trial.trial_id, "time": trial.start_time})

    def trial_reported(self, trial: TrialRecord, report: Report) -> None:
        """Note the metrics of an epoch."""
        self._append(
            {
                "event": "reported",
                "trial": trial.trial_id,
                "epoch": report.epoch,
                "metrics": report.metrics,
                "time": report.time,
                "node": trial.node,
            }
        )

    def trial_ended(self, trial: TrialRecord) -> None:
        """Note how a trial ended; on the disk when this returns."""
        self._append(
            {
                "event": "ended",
                "trial": trial.trial_id,
                "state": trial.state.value,
                "reason": trial.reason,
                "time": trial.end_time,
            }
        )
        self._sync()

    def tick(self) -> None:
        """Let the disk catch up, at most once a second."""
        if not self._is_synced and time.monotonic() - self._sync_time >= _SYNC_PAUSE:
            self._sync()

    def search_ended(self, interrupted: bool, trouble: str | None = None) -> None:
        """Close the journal."""
        if self._file is None:
            return
        try:
            self._append({"event": "search_ended", "interrupted": interrupted, "time": time.time()})
            self._sync()
        finally:
            os.close(self._file)
            self._file = None

    def _append(self, event: Mapping[str, Any]) -> None:
        if self._file is None or self._is_broken:
            return
        size = os.fstat(self._file).st_size
        line = f"{json.dumps(_plain(event), allow_nan=False)}\n".encode()
        try:
            if os.write(self._file, line) < len(line):
                raise OSError(28, "No space left on device", str(self._path))
        except OSError as error:
            self._is_broken = True
            os.ftruncate(self._file, size)  # half a line must not stay behind
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        self._is_synced = False

    def _sync(self) -> None:
        if self._file is None or self._is_broken:
            return
        self._sync_time = time.monotonic()
        self._is_synced = True
        try:
            os.fsync(self._file)
            there = os.stat(self._path)  # a file that was removed can still be written to
            if not os.path.samestat(there, os.fstat(self._file)):
                raise FileNotFoundError(2, "another file has taken its place", str(self._path))
        except OSError as error:
            self._is_broken = True
            raise OSError(error.errno, error.strerror, str(self._path)) from error


def read_journal(path: Path) -> Journal:
    """Return what happened in a search, as far as it reached the disk.

    Lines at the end that make no sense are left out: a power cut leaves such.

    Raises:
        RecordsError: There is no journal, it is damaged before its last lines, or a later version
            of tunebox wrote it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordsError(
            f"{path} cannot be read: {error.strerror}; without its journal a search cannot go on"
        ) from error
    lines = content.splitlines(keepends=True)
    found = [_header(path, line) if n == 0 else _event(line) for n, line in enumerate(lines)]
    while found and isinstance(found[-1], _Damage):
        found.pop()
    for number, event in enumerate(found, start=1):
        if isinstance(event, _Damage):
            raise RecordsError(
                f"{path}: line {number} is damaged ({event.reason}); {_way_on(path, number)}"
            )
    size = sum(map(len, lines[: len(found)]))
    cut = len(content) - size
    warning = f"{path}: the last {cut} bytes are damaged and were cut off" if cut else None
    return Journal([event for event in found if isinstance(event, TrialEvent)], size, warning)


def cut_journal(path: Path, journal: Journal) -> None:
    """Cut off what is damaged at the end of the journal, so that lines can be added.

    Raises:
        OSError: The file cannot be written to.
    """
    if journal.warning is not None:
        os.truncate(path, journal.size)


def event_in(line: bytes) -> TrialEvent | None:
    """Return what a line of a journal tells of a trial; None if it tells nothing, or is damaged."""
    event = _event(line)
    return event if isinstance(event, TrialEvent) else None


@dataclass(frozen=True)
class _Damage:
    """A line that makes no sense."""

    reason: str


def _way_on(path: Path, number: int) -> str:
    file = shlex.quote(str(path))
    if number == 1:
        header = json.dumps({"format": FORMAT})
        return f"write it anew with: sed -i '1c {header}' {file}"
    return (
        f"to go on from before it, cut it and what follows off with: sed -i '{number},$d' {file} "
        "(what came later is run again)"
    )


def _header(path: Path, line: bytes) -> _Damage | None:
    try:
        header = _parse(line)
    except _NO_SENSE:
        return _Damage("it is not the header of a journal")
    if "format" not in header:
        raise RecordsError(f"{path}: line 1 is not the header of a journal of tunebox")
    check_format(path, header, FORMAT)
    return None


def _event(line: bytes) -> TrialEvent | _Damage | None:
    """Return what a line tells of a trial, None if it is of the whole search."""
    try:
        return _event_of(_restored(_parse(line)))
    except _NO_SENSE as error:
        return _Damage(f"no event of a search: {first_line(error)}")


def _parse(line: bytes) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise ValueError("it was cut short")
    entry = json.loads(line)
    if not isinstance(entry, dict):
        raise TypeError("it holds no mapping")
    return entry


def _event_of(entry: dict[str, Any]) -> TrialEvent | None:
    kind = entry["event"]
    if kind in ("search_started", "search_ended"):
        return None
    trial_id = entry["trial"]
    check_name(trial_id)  # it is the name of a folder too
    if kind == "planned":
        return Planned(trial_id, _settings(entry["settings"]))
    if kind == "started":
        return Started(trial_id, float(entry["time"]))
    if kind == "ended":
        state = TrialState(entry["state"])
        return Ended(trial_id, state, _text(entry["reason"]), float(entry["time"]))
    if kind != "reported":
        raise ValueError(f"unknown event {kind!r}")
    metrics = {str(name): float(value) for name, value in entry["metrics"].items()}
    report = Report(int(entry["epoch"]), metrics, float(entry["time"]))
    return Reported(trial_id, report, _text(entry["node"]))


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
    """Return ``value`` as JSON can hold it."""
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


def _here() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "tunebox": __version__}
