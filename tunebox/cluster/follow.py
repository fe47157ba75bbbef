"""Watch a search on a cluster: its journal, as it grows, feeds the same display as at home."""

import os
import select
import subprocess

from rich.console import Console

from tunebox.cluster.head import HeadAway
from tunebox.cluster.patience import Patience
from tunebox.cluster.site import RemoteSearch
from tunebox.errors import ClusterError
from tunebox.events import Ended, Planned, Reported, Started, TrialEvent
from tunebox.progress import SearchProgress
from tunebox.records.journal import event_in
from tunebox.spec.load import spec_from_source
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Values
from tunebox.spec.yaml_source import parse_yaml
from tunebox.trials import SearchObserver, TrialLog, TrialRecord, TrialState

_TICK_SECONDS = 0.2
_CHUNK_BYTES = 1 << 16


class ToldLog:
    """The log of a search that runs elsewhere, as far as its events have been told."""

    def __init__(self, spec: SearchSpec) -> None:
        self.log = TrialLog(spec.objective_set, spec.constraint_set)
        self._planned: dict[str, Values] = {}

    def hear(self, event: TrialEvent, observer: SearchObserver) -> None:
        """Bring the log up to date, then tell ``observer``."""
        if isinstance(event, Planned):
            self._planned[event.trial_id] = event.settings
            observer.trial_planned(event.trial_id, event.settings)
            return
        if isinstance(event, Started):
            fresh = TrialRecord(event.trial_id, self._planned[event.trial_id], event.time)
            trial = self.log.trials.setdefault(event.trial_id, fresh)
            trial.state = TrialState.RUNNING
            observer.trial_started(trial)
            return
        trial = self.log.trials[event.trial_id]
        if isinstance(event, Reported):
            trial.history.append(event.report)
            trial.node = event.node
            observer.trial_reported(trial, event.report)
        elif isinstance(event, Ended):
            trial.state, trial.reason, trial.end_time = event.state, event.reason, event.time
            observer.trial_ended(trial)


class Follower:
    """Reads the journal of a running search over a connection that may be cut."""

    def __init__(self, search: RemoteSearch, console: Console, patience: Patience) -> None:
        self._search = search
        self._console = console
        self._patience = patience
        self._offset = 0  # bytes of the journal that have been told

    def run(self, driver: int) -> None:
        """Show the search until its process ``driver`` is gone.

        Raises:
            HeadAway: The head has been away for too long.
            ClusterError: The search's folder is gone.
        """
        journal = self._read("journal.jsonl").encode()
        spec = spec_from_source(parse_yaml(self._read("search.yaml"), "search.yaml"))
        told = ToldLog(spec)
        self._tell(journal, told, SearchObserver())  # what is past by now
        progress = SearchProgress(self._console, self._search.name, spec.search)
        progress.search_started(told.log)
        try:
            while self._follow(driver, told, progress) != 0:
                self._patience.lost(HeadAway(f"the head of {self._search.name} was lost"))
        finally:
            progress.search_ended(interrupted=False)

    def _read(self, file: str) -> str:
        text = self._patience.until_it_works(lambda: self._search.read(file))
        if text is None:
            raise ClusterError(f"{self._search.folder}/{file} is not on the head any more")
        return text

    def _follow(self, driver: int, told: ToldLog, progress: SearchProgress) -> int:
        """Tell the journal until the end, or until the connection is lost: exit code 255."""
        process = self._search.follow_journal(self._offset, driver)
        try:
            return self._tell_all(process, told, progress)
        finally:
            process.kill()
            process.communicate()

    def _tell_all(
        self, process: "subprocess.Popen[bytes]", told: ToldLog, progress: SearchProgress
    ) -> int:
        assert process.stdout is not None
        rest = b""
        while True:
            progress.tick()
            if not select.select([process.stdout], [], [], _TICK_SECONDS)[0]:
                continue
            chunk = os.read(process.stdout.fileno(), _CHUNK_BYTES)
            if not chunk:
                return process.wait()
            self._patience.reached()
            rest = self._tell(rest + chunk, told, progress)

    def _tell(self, journal: bytes, told: ToldLog, observer: SearchObserver) -> bytes:
        """Tell what the whole lines say; return what follows them."""
        *lines, rest = journal.split(b"\n")
        for line in lines:
            event = event_in(line + b"\n")
            if event is not None:
                told.hear(event, observer)
            self._offset += len(line) + 1
        return rest
