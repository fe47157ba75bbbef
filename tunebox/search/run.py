"""Run a search: read this first. Decisions, their Ray adapters, and one call of Ray's Tuner."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ray import tune
from ray.tune import Stopper

from tunebox.interrupt import interruptible
from tunebox.pareto.objectives import Objectives
from tunebox.search.budget import Budget
from tunebox.search.decisions import Decisions
from tunebox.search.log_callback import LogCallback
from tunebox.search.ray_adapters import DecisionScheduler, DecisionSearcher, NotPickled
from tunebox.search.trainable import TrialTrainable
from tunebox.spec.search_spec import SearchSpec
from tunebox.trials import Report, SearchObserver, TrialLog, TrialRecord, TrialState

_RAY_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the records are ours
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # so is Ctrl-C
    "TUNE_FORCE_TRIAL_CLEANUP_S": "10",  # wait no longer for an epoch of a stopped search
    # Two: while one waiting trial takes over an actor that got free, the other gets a new one.
    "TUNE_MAX_PENDING_TRIALS_PG": "2",
    "TUNE_WARN_THRESHOLD_S": "10",
    "RAY_AIR_NEW_OUTPUT": "0",
}


class SearchEnd(NamedTuple):
    """Every trial, whether a person interrupted the search, and why it ended."""

    log: TrialLog
    interrupted: bool
    reason: str


def run_search(
    spec: SearchSpec,
    objectives: Objectives,
    root: Path,
    observers: Sequence[SearchObserver],
    known: Sequence[TrialRecord] = (),
) -> SearchEnd:
    """Run ``spec`` on the Ray cluster that this process has joined.

    Args:
        spec: What to search.
        objectives: Those of ``spec``, in order.
        root: The search's folder; Ray's files and the checkpoints go into ``root/ray``.
        observers: Told of every start, report and end.
        known: Trials of earlier searches, which the sampler learns from; see
            `tunebox.records.warm_start`.
    """
    log = TrialLog(objectives, spec.constraint_set)
    decisions = Decisions(spec.space, objectives, spec.search, spec.constraint_set, spec.start)
    for trial in known:
        decisions.learn(trial)
    budget = Budget(spec.search, log)
    observers = [_Watch(budget), *observers]
    for observer in observers:
        observer.search_started(log)
    callback = LogCallback(log, observers, root, spec.search.max_epochs)
    is_cut_short = True
    try:
        with interruptible() as interrupted:
            stop = _Stop(budget, interrupted)
            _tuner(spec, decisions, callback, root, stop).fit()
            is_cut_short = interrupted()
    finally:  # whatever Ray raised, the records are to be complete
        _end(log, observers, is_cut_short)
    return SearchEnd(log, is_cut_short, stop.reason or f"all {len(log.trials)} trials have ended")


def _end(log: TrialLog, observers: Sequence[SearchObserver], interrupted: bool) -> None:
    for record in log.trials.values():
        if record.state is TrialState.RUNNING:
            record.state = TrialState.INTERRUPTED
            record.end_time = time.time()
            for observer in observers:
                observer.trial_ended(record)
    for observer in observers:
        observer.search_ended(interrupted)


def _tuner(
    spec: SearchSpec, decisions: Decisions, callback: LogCallback, root: Path, stop: "_Stop"
) -> tune.Tuner:
    search = spec.search
    os.environ.update(_RAY_SETTINGS)
    trainable = tune.with_resources(
        TrialTrainable, {"CPU": search.cpus_per_trial, "GPU": search.gpus_per_trial}
    )
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=DecisionSearcher(decisions, spec),
            scheduler=DecisionScheduler(decisions),
            num_samples=search.trials,
            reuse_actors=True,
            trial_name_creator=_trial_id,
            trial_dirname_creator=_trial_id,
        ),
        run_config=tune.RunConfig(
            name="ray",
            storage_path=str(root),
            stop=stop,
            callbacks=[callback],
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=1),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1, checkpoint_at_end=True),
        ),
    )


def _trial_id(trial: Any) -> str:
    return str(trial.config["trial_id"])


class _Watch(SearchObserver):
    """Tells a budget what happens."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def trial_reported(self, trial: TrialRecord, report: Report) -> None:
        self._budget.reported()

    def trial_ended(self, trial: TrialRecord) -> None:
        self._budget.ended(trial)


class _Stop(NotPickled, Stopper):  # type: ignore[misc]
    """Ends the search when asked, or when its budget is spent."""

    def __init__(self, budget: Budget, interrupted: Callable[[], bool]) -> None:
        self._budget = budget
        self._interrupted = interrupted
        self._start = time.monotonic()
        self.reason: str | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        if self.reason is None:  # the first reason stays
            spent = self._budget.spent(time.monotonic() - self._start)
            self.reason = "interrupted" if self._interrupted() else spent
        return self.reason is not None
