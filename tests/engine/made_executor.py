"""An executor whose trials cost nothing, and a method that pauses trials."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tests.engine.make_search import metrics_at
from tunebox.decisions.decisions import Decisions
from tunebox.decisions.events import Event, Observer
from tunebox.decisions.method import Verdict
from tunebox.decisions.state import Pause, Stop
from tunebox.engine.drive import RunningSearch
from tunebox.engine.executor import Executor
from tunebox.spec.search_spec import SearchSpec


class MadeExecutor(Executor):
    """Trials report in turn what `metrics_at` says; every seventh from 3 diverges at epoch 2."""

    def __init__(self, num_workers: int = 1, max_reports: int | None = None) -> None:
        self.clock = 0.0
        self.num_running: list[int] = []  # at each report
        self._num_workers = num_workers
        self._reports_left = math.inf if max_reports is None else max_reports

    def run(self, search: RunningSearch) -> None:
        running: list[str] = []
        while search.stop_reason is None:
            while len(running) < self._num_workers and (start := search.next_trial()):
                search.started(start.trial_id)
                running.append(start.trial_id)
            if not running:
                return
            if not self._reports_left:
                raise KeyboardInterrupt  # as a process that is killed
            trial_id = running.pop(0)
            self.num_running.append(len(running) + 1)
            record = search.log.trials[trial_id]
            metrics = metrics_at(record.settings, record.epochs + 1)
            if int(trial_id) % 7 == 3 and record.epochs == 1:
                metrics["train_loss"] = math.nan
            self.clock += 1
            self._reports_left -= 1
            command = search.reported(trial_id, record.epochs + 1, metrics, "node")
            if isinstance(command, Pause):
                search.paused(trial_id)
            elif isinstance(command, Stop):
                search.ended(trial_id)
            else:
                running.append(trial_id)

    def now(self) -> float:
        return self.clock

    def seconds(self) -> float:
        return self.clock


class Written(Observer):
    """Keeps the events, as a journal does."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on(self, event: Event) -> None:
        self.events.append(event)


class Pausing(Decisions):
    """Every trial pauses at each rung; the best third of a rung may go on, new trials come last."""

    def __init__(self, spec: SearchSpec) -> None:
        super().__init__(spec.space, spec.objective_set, spec.search)
        self._at_rung: dict[int, dict[str, float]] = {epoch: {} for epoch in self.rungs[:-1]}
        self._promoted: set[tuple[int, str]] = set()
        self._paused_at: dict[str, int] = {}

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> Verdict:
        verdict = super().report(trial_id, epoch, metrics)
        if epoch not in self._at_rung or not all(map(math.isfinite, metrics.values())):
            return verdict
        self._at_rung[epoch][trial_id] = metrics["clean_accuracy"]
        self._paused_at[trial_id] = epoch
        return Verdict.PAUSE

    def choose_paused(self) -> str | None:
        for epoch, rung in sorted(self._at_rung.items(), reverse=True):
            best = sorted(rung, key=lambda trial_id: (-rung[trial_id], trial_id))
            for trial_id in best[: len(rung) // 3]:
                if (epoch, trial_id) not in self._promoted:
                    return trial_id
        return None

    def promote(self, trial_id: str) -> None:
        self._promoted.add((self._paused_at[trial_id], trial_id))
