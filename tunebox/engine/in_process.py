"""Runs the trials of a search in this process, without Ray: for tests, notebooks and debuggers."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from tunebox.decisions.state import Pause, Stop
from tunebox.engine.drive import RunningSearch
from tunebox.engine.executor import Executor, TrialStart
from tunebox.engine.worker import TrialWorker, trial_task
from tunebox.errors import NodeError
from tunebox.records.search_folder import SearchFolder
from tunebox.spec.search_spec import SearchSpec


@dataclass
class _Running:
    start: TrialStart
    worker: TrialWorker
    num_restarts: int = 0


class InProcessExecutor(Executor):
    """Trains up to ``max_concurrent`` trials in turn, an epoch each, on one CPU or GPU."""

    def __init__(self, spec: SearchSpec, rungs: tuple[int, ...], root: Path) -> None:
        """Remember the search; no trial is built before `run`.

        Args:
            spec: What is searched.
            rungs: Epochs at which a trial may end or pause.
            root: Folder of the search; checkpoints are written there.
        """
        self._spec = spec
        self._rungs = rungs
        self._folder = SearchFolder(root)
        self._num_workers = spec.search.max_concurrent or 1

    def run(self, search: RunningSearch) -> None:
        """Run trials until the search has none left or has a reason to stop."""
        running: list[_Running] = []
        while search.stop_reason is None:
            while len(running) < self._num_workers:
                start = search.next_trial()
                if start is None:
                    break
                search.started(start.trial_id)
                running.append(_Running(start, self._worker(start)))
            if not running:
                return
            trial = running.pop(0)
            if self._step(search, trial):
                running.append(trial)
            search.tick()

    def _worker(self, start: TrialStart) -> TrialWorker:
        task = trial_task(self._spec, start, self._rungs, self._folder)
        cpus = self._spec.search.cpus_per_trial
        num_threads = max(1, int(cpus)) if isinstance(cpus, int | float) else 1
        return TrialWorker(task, num_threads, use_gpu=True)

    def _step(self, search: RunningSearch, trial: _Running) -> bool:
        """Train an epoch of a trial and return whether it goes on."""
        trial_id = trial.start.trial_id
        try:
            result = trial.worker.step()
        except NodeError as error:
            return self._restart(search, trial, str(error))
        for line in result.get("notes", []):
            search.note(line)
        if "failed" in result:
            search.failed(trial_id, result["failed"], result["failed_at"], result["traceback"])
            return False
        if "unwritable" in result:
            search.end_for(f"a checkpoint cannot be written: {result['unwritable']}")
            return True  # the resume trains the epoch again, since its checkpoint is missing
        if "over" in result:
            search.ended(trial_id)
            return False
        command = search.reported(
            trial_id, result["epoch"], result["metrics"], socket.gethostname()
        )
        if isinstance(command, Pause):
            search.paused(trial_id)
        elif isinstance(command, Stop):
            search.ended(trial_id)
        return not isinstance(command, Pause | Stop)

    def _restart(self, search: RunningSearch, trial: _Running, reason: str) -> bool:
        if trial.num_restarts == self._spec.search.max_failures:
            search.failed(trial.start.trial_id, reason, reason, None)
            return False
        trial.num_restarts += 1
        trial.worker = self._worker(trial.start)
        search.note(f"trial {trial.start.trial_id} starts again: {reason}")
        return True
