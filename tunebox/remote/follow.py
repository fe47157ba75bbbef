"""Watch a search on a cluster: its growing journal drives the same display as a local search."""

import os
import select
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from tunebox.decisions.events import (
    MakeObserver,
    Observer,
    SearchEnded,
    SearchStarted,
    apply_to_log,
)
from tunebox.decisions.trials import TrialLog
from tunebox.errors import ClusterError
from tunebox.records.journal import Damage, JournalReader
from tunebox.remote.head import HeadUnreachable
from tunebox.remote.remote_search import RemoteSearch
from tunebox.remote.retry import Retry
from tunebox.spec.load import spec_from_source
from tunebox.spec.yaml_source import parse_yaml

_TICK_SECONDS = 0.2
_CHUNK_BYTES = 1 << 16


class Follower:
    """Streams the journal of a running search over a connection that may be lost."""

    def __init__(self, search: RemoteSearch, display: MakeObserver, retry: Retry) -> None:
        self._search = search
        self._make_display = display
        self._retry = retry
        self._offset = 0  # bytes of the journal that have been read
        self._reader = JournalReader(Path(search.folder) / "journal.jsonl")
        self._has_damage = False

    def run(self, driver: int) -> None:
        """Show the search until its process ``driver`` has ended.

        Raises:
            HeadUnreachable: The head has been unreachable for too long.
            ClusterError: The search's folder is gone.
        """
        journal = self._read("journal.jsonl").encode("utf-8", "surrogateescape")
        source = parse_yaml(self._read("search.yaml"), "search.yaml")
        spec = spec_from_source(source, checks_trials=False)  # the head has its code, and did
        log = TrialLog(spec.objective_set, spec.constraint_set)
        self._read_events(journal, log, Observer())  # events before now
        display = self._make_display(self._search.name, spec.search, log)
        display.on(SearchStarted(time.time(), self._search.name, driver))
        try:
            while self._follow(driver, log, display) != 0:
                self._retry.wait(HeadUnreachable(f"the head of {self._search.name} was lost"))
        finally:
            display.on(SearchEnded(time.time(), interrupted=False))

    def _read(self, file: str) -> str:
        text = self._retry.call(lambda: self._search.read(file))
        if text is None:
            raise ClusterError(f"{self._search.folder}/{file} is not on the head any more")
        return text

    def _follow(self, driver: int, log: TrialLog, display: Observer) -> int:
        """Read the journal until the end, or until the connection is lost: exit code 255."""
        process = self._search.follow_journal(self._offset, driver)
        try:
            return self._read_all(process, log, display)
        finally:
            process.kill()
            process.communicate()

    def _read_all(
        self, process: "subprocess.Popen[bytes]", log: TrialLog, display: Observer
    ) -> int:
        assert process.stdout is not None
        rest = b""
        while True:
            display.tick()
            if not select.select([process.stdout], [], [], _TICK_SECONDS)[0]:
                continue
            chunk = os.read(process.stdout.fileno(), _CHUNK_BYTES)
            if not chunk:
                return process.wait()
            self._retry.succeeded()
            rest = self._read_events(rest + chunk, log, display)

    def _read_events(self, journal: bytes, log: TrialLog, observer: Observer) -> bytes:
        """Apply the events of the whole lines; return what follows them."""
        *lines, rest = journal.split(b"\n")
        for line in lines:
            event = self._reader.read(line + b"\n")
            if isinstance(event, Damage):
                self._note_damage(event)
            elif event is not None and not isinstance(event, SearchStarted | SearchEnded):
                with suppress(KeyError):  # the first lines of its trial are damaged
                    apply_to_log(log, event)
                    observer.on(event)
            self._offset += len(line) + 1
        return rest

    def _note_damage(self, damage: Damage) -> None:
        if not self._has_damage:
            self._has_damage = True
            self._retry.note(
                f"journal.jsonl has a damaged line ({damage.reason}), which is left out here; the "
                "search goes on"
            )
