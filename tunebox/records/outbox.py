"""What is on its way to MLflow, in a file: it outlives the process, and knows what arrived.

A line of JSON for each thing that happens: ``format`` (the first line), an ``operation`` with its
number, ``creating`` (and when) before a run is made and ``run`` after it, ``gone`` when a run was
deleted, ``done`` and ``refused`` with the numbers of operations, ``damaged`` when lines that made
no sense were left out.
"""

import errno
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from tunebox import __version__
from tunebox.errors import RecordsError
from tunebox.records.files import check_format, replacing
from tunebox.records.mlflow_operations import Operation, from_plain, to_plain
from tunebox.records.told import Told
from tunebox.records.tracking import local_uri, portable_uri

_log = logging.getLogger(__name__)

_FORMAT = 1


class Outbox:
    """The operations of one search that wait, and the runs that were made for it.

    The thread of the search adds, the thread that delivers takes away. Lines go to the operating
    system at once, so that a killed process loses none; to the disk when `sync` is called.
    """

    def __init__(
        self, path: Path | None, tracking_uri: str = "", search_id: str | None = None
    ) -> None:
        """Read what is there, and keep any other process from writing into it.

        Args:
            path: Of the file; None keeps everything in memory.
            tracking_uri: Where it goes, without credentials; noted in a new file.
            search_id: What an earlier file called the search; None: it is a new search.

        Raises:
            RecordsError: Another process has it open, it cannot be opened, or a later version
                of tunebox wrote it.
        """
        self.search_id = search_id or uuid.uuid4().hex
        self.tracking_uri = tracking_uri
        self.run_ids: dict[str | None, str] = {}  # None: the parent run
        self.refusals: list[str] = []  # a line for each refusal
        self.told = Told()
        self.warnings: list[str] = []
        self._path = path or Path()
        self._folder = self._path.parent
        self._lock = threading.RLock()
        self._waiting: dict[int, Operation] = {}
        self._in_doubt: dict[str | None, float] = {}  # and when a call was made for it
        self._is_synced = True
        self._all_in_doubt = False
        self._last_number = 0
        self._has_header = False
        self._needs_line_break = False
        self._file: BinaryIO | None = None
        self._file_lock = None if path is None else _locked(path)
        if path is not None:
            self._open(path, is_known=search_id is not None)

    @property
    def num_waiting(self) -> int:
        """How many operations are neither done nor refused."""
        return len(self._waiting)

    @property
    def waiting(self) -> list[tuple[int, Operation]]:
        """The operations that wait, with their numbers, in order."""
        with self._lock:
            return list(self._waiting.items())

    def add(self, operation: Operation) -> None:
        """Put one more operation behind all others."""
        with self._lock:
            self._last_number += 1
            self._keep(self._last_number, operation)
            if self._file is not None:
                plain = to_plain(operation, self._folder)
                self._write({"number": self._last_number, **plain})

    def done(self, numbers: Iterable[int]) -> None:
        """Note that MLflow has these operations."""
        self._note({"done": list(numbers)})

    def refuse(self, numbers: Iterable[int], reason: str) -> None:
        """Note that MLflow will never take these operations."""
        self._note({"refused": list(numbers), "reason": reason})

    def creating(self, trial_id: str | None) -> None:
        """Note that the run of a trial, or of the search, is about to be made."""
        self._note({"creating": trial_id, "time": time.time()})
        self.sync()  # without this line, after a power cut, the run would be made a second time

    def created(self, trial_id: str | None, run_id: str) -> None:
        """Note which run belongs to a trial, or to the search."""
        self._note({"run": run_id, "of": trial_id})

    def gone(self, trial_id: str) -> None:
        """Note that the run of a trial is no more."""
        self._note({"gone": trial_id})

    def is_in_doubt(self, trial_id: str | None) -> bool:
        """Whether a run may have been made of which we were never told."""
        return self._all_in_doubt or trial_id in self._in_doubt

    def call_ended(self, trial_id: str | None) -> None:
        """Note that the last call for a run has ended: it makes none from now on."""
        with self._lock:
            self._in_doubt[trial_id] = 0.0

    def may_be_coming(self, trial_id: str | None, seconds: float) -> bool:
        """Whether a call for a run, of this process or an earlier one, may not have made it yet.

        That is so for ``seconds`` after the call, unless it is known to have ended.
        """
        return abs(time.time() - self._in_doubt.get(trial_id, 0.0)) < seconds

    def sync(self) -> None:
        """Bring to the disk what has been noted; a power cut may take the rest."""
        with self._lock:
            if self._file is None or self._is_synced:
                return
            self._is_synced = True
            file = os.dup(self._file.fileno())
        try:
            with suppress(OSError):
                os.fsync(file)  # outside of the lock: the search is not to wait for the disk
        finally:
            os.close(file)

    def close(self) -> None:
        """Let other processes open the file; what is noted from now on is not kept."""
        self.sync()
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
            if self._file_lock is not None:
                self._file_lock.release()

    def _note(self, event: dict[str, Any]) -> None:
        with self._lock:
            self._hear(event)
            self._write(event)

    def _keep(self, number: int, operation: Operation) -> None:
        self.told.hear(operation)
        self._last_number = number
        self._waiting[number] = operation

    def _hear(self, event: dict[str, Any]) -> None:
        match event:
            case {"creating": trial_id}:
                self._in_doubt[trial_id] = float(event.get("time", 0.0))
            case {"run": str(run_id), "of": trial_id}:
                self._in_doubt.pop(trial_id, None)
                self.run_ids[trial_id] = run_id
            case {"gone": trial_id}:
                self.run_ids.pop(trial_id, None)
            case {"done": numbers}:
                self._remove(numbers)
            case {"refused": numbers, "reason": str(reason)}:
                self._remove(numbers)
                self.refusals.append(reason)
            case {"damaged": _}:
                self._all_in_doubt = True
            case _:
                raise ValueError("nothing that this version writes")

    def _remove(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._waiting.pop(number, None)

    def _write(self, event: dict[str, Any]) -> None:
        if self._file is None:
            return
        line_break = "\n" if self._needs_line_break else ""
        line = f"{line_break}{json.dumps(event)}\n".encode()
        try:
            self._is_synced = False
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, "No space left on device")
            self._needs_line_break = False
        except OSError as error:  # a full disk: what is in memory is delivered all the same
            self._needs_line_break = True
            self._warn(f"{self._file.name}: not written: {error.strerror or error}")

    def _open(self, path: Path, is_known: bool) -> None:
        """Read the file and repair it; ``is_known`` when the search had one before."""
        try:
            content = path.read_bytes() if path.exists() else b""
            lines = content.splitlines()
            understood = [line for line in lines if self._read_line(line)]
            # a full disk may have kept the process before from noting which runs it made
            self._all_in_doubt = bool(lines)
            self._needs_line_break = bool(lines) and not content.endswith(b"\n")
            is_damaged = len(understood) < len(lines) or (is_known and not self._has_header)
            if is_damaged or not self._has_header:
                self._write_anew(path, understood, is_damaged)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise RecordsError(f"{path} cannot be opened: {error.strerror or error}") from error

    def _write_anew(self, path: Path, lines: list[bytes], is_damaged: bool) -> None:
        """Write the file again with the ``lines`` that make sense, and with a header."""
        events: list[dict[str, Any]] = []
        if not self._has_header:
            header = {"format": _FORMAT, "version": __version__, "search_id": self.search_id}
            uri = portable_uri(self.tracking_uri, self._folder.parent)
            events.append({**header, "tracking_uri": uri})
        if is_damaged:
            # Which runs there are may be in what is lost: MLflow is asked before any is made.
            self._all_in_doubt = True
            events.append({"damaged": True})
            self._warn(f"{path}: what was damaged is left out, and is sent again or looked up")
        written = [json.dumps(event).encode() for event in events]
        lines = [*written, *lines] if not self._has_header else [*lines, *written]
        with replacing(path) as temporary:
            temporary.write_bytes(b"\n".join(lines) + b"\n")
        self._needs_line_break = False

    def _read_line(self, line: bytes) -> bool:
        """Take in one line and return whether it made sense."""
        try:
            event = json.loads(line)
            if "format" in event:
                self._read_header(event)
            elif "operation" in event:
                self._keep(int(event.pop("number")), from_plain(event, self._folder))
            else:
                self._hear(event)
        except RecordsError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
        return True

    def _read_header(self, header: dict[str, Any]) -> None:
        check_format(self._path, header, _FORMAT)
        self.search_id = header["search_id"]
        self.tracking_uri = local_uri(header["tracking_uri"], self._folder.parent)
        self._has_header = True

    def _warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)
            _log.warning("%s", message)


def noted_tracking_uri(path: Path) -> str | None:
    """Return where the outbox at ``path`` goes, without credentials; None if that is unknown."""
    try:
        with path.open("rb") as file:
            noted = str(json.loads(file.readline())["tracking_uri"])
            return local_uri(noted, path.parent.parent)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _locked(path: Path) -> FileLock:
    lock = FileLock(path.with_suffix(".lock"), thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise RecordsError(
            f"{path.parent}: another tunebox writes its MLflow runs; wait until it has ended"
        ) from error
    except OSError as error:
        raise RecordsError(f"{path.parent} cannot be written: {error.strerror or error}") from error
    return lock
