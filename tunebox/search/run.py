"""Run a search: read this first. Decisions, their Ray adapters, and one call of Ray's Tuner."""

import logging
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ray import tune
from ray.tune import Stopper

from tunebox.checkpoints import (
    checkpoint_files,
    checkpoint_of,
    damage,
    keep,
    remove_checkpoints,
)
from tunebox.errors import describe_os_error, first_line
from tunebox.interrupt import interruptible
from tunebox.search.budget import Budget
from tunebox.search.ending import Ending, FailureLimits, Observers
from tunebox.search.log_callback import LogCallback, lost_weights
from tunebox.search.marked_folder import marked_folder
from tunebox.search.past import Past
from tunebox.search.placement import PlacingScheduler, TrialPlacement
from tunebox.search.ray_adapters import DecisionSearcher, NotPickled
from tunebox.search.room import asked_by_a_trial
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
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # Ray's own state is not used again
    "RAY_AIR_NEW_OUTPUT": "0",
}


@dataclass(frozen=True)
class Outcome:
    """How a search ended."""

    log: TrialLog
    interrupted: bool  # by a person
    reason: str  # why it ended
    trouble: str | None  # that, if nobody asked for it
    traceback: str | None  # of a trial, where that explains the trouble
    notes: list[str]  # on single trials
    go_on: str  # what a resume needs, to be put behind its command line


def run_search(
    spec: SearchSpec,
    past: Past,
    root: Path,
    observers: Sequence[SearchObserver],
    left_out: Mapping[str, str] = MappingProxyType({}),
) -> Outcome:
    """Run ``spec`` on the Ray cluster that this process has joined.

    Args:
        spec: What to search; its time budget counts from now.
        past: What is known already: `take_up` of nothing for a new search.
        root: The search's folder: every node writes its checkpoints there.
        observers: Told of every start, report and end, in this order.
        left_out: The ids of nodes that no trial may run on, with reasons.
    """
    budget = Budget(spec.search, past.log)
    ending = Ending(budget)
    observer = Observers([*observers, _Watch(budget)], ending)
    limits = FailureLimits(spec.search.max_failed_fraction)
    callback = LogCallback(past, observer, root, spec.search.max_epochs, limits, ending)
    without_weights = _find_weights(past.log, root)
    observer.search_started(past.log)
    for line in without_weights:
        callback.note(line)
    is_cut_short = True
    try:
        with interruptible() as interrupted:
            ending.is_interrupted = interrupted
            _prepare_folder(past, root, callback)
            # a second time for trials that Ray has given up and that wait again
            while num_left(spec, past) and ending.reason is None and not interrupted():
                placement = TrialPlacement(asked_by_a_trial(spec.search), left_out)
                with marked_folder(root / ".nodes") as mark:
                    scheduler = PlacingScheduler(past, placement, mark, ending)
                    _run_trials(spec, past, root, callback, observer, scheduler)
            is_cut_short = interrupted()
    except OSError as error:  # in Ray or in ours
        ending.end_for(describe_os_error(error))
        is_cut_short = False
    except Exception as error:
        ending.end_for(f"{type(error).__name__}: {first_line(error)}")
        raise
    finally:  # whatever Ray raised, the records are to be complete
        _interrupt_running(past.log, observer)
        observer.search_ended(is_cut_short, ending.trouble)
    reason = ending.reason or f"all {len(past.log.trials)} trials have ended"
    return Outcome(
        log=past.log,
        interrupted=is_cut_short,
        reason=reason,
        trouble=ending.trouble,
        traceback=ending.traceback,
        notes=callback.notes,
        go_on=budget.go_on(),
    )


def num_left(spec: SearchSpec, past: Past) -> int:
    """Return how many trials are to be run, those included that go on."""
    return len(past.waiting) + max(0, spec.search.trials - past.num_planned)


def why_none(spec: SearchSpec, past: Past) -> str | None:
    """Return why no trial will be run although some are left, and what lets them run."""
    budget = Budget(spec.search, past.log)
    spent = budget.spent(seconds=0.0)
    if spent is None or not num_left(spec, past):
        return None
    return f"{spent}, so nothing is trained; to go on: tunebox search --resume NAME{budget.go_on()}"


def num_to_run(spec: SearchSpec, past: Past) -> int:
    """Return how many trials will be run unless a budget is spent on the way."""
    return 0 if why_none(spec, past) else num_left(spec, past)


def is_complete(spec: SearchSpec, log: TrialLog) -> bool:
    """Whether every trial of ``spec`` has ended for good."""
    ended = log.num_ended - log.count(TrialState.INTERRUPTED)
    return ended >= spec.search.trials


def _prepare_folder(past: Past, root: Path, callback: LogCallback) -> None:
    """Make room for checkpoints, and remove those that are not needed any more."""
    folder = root / "checkpoints"
    folder.mkdir(exist_ok=True)
    for record in past.decided:
        callback.end(record)
    front = {record.trial_id: record.checkpoint for record in past.log.front()}
    for trial_folder in folder.iterdir():
        if trial_folder.name in front:
            keep(trial_folder, [Path(front[trial_folder.name] or "").name])
        elif trial_folder.name in past.waiting:
            keep(trial_folder, [path.name for path in checkpoint_files(trial_folder)])
        else:
            remove_checkpoints(trial_folder)


def _find_weights(log: TrialLog, root: Path) -> list[str]:
    """Note the weights of the front in the log; return a line for each trial that has lost them.

    Those of an epoch before its last are not those of the trial's result.
    """
    lines = []
    for record in log.front():
        last = checkpoint_of(root / "checkpoints" / record.trial_id, record.epochs)
        reason = "no checkpoint" if last is None else damage(last)
        if last is not None and reason is None:
            record.checkpoint = str(last.relative_to(root))
        else:
            lines.append(lost_weights(record, str(reason)))
    return lines


def _interrupt_running(log: TrialLog, observer: SearchObserver) -> None:
    for record in log.trials.values():
        if record.state is TrialState.RUNNING:
            record.state = TrialState.INTERRUPTED
            record.end_time = time.time()
            observer.trial_ended(record)


def _run_trials(
    spec: SearchSpec,
    past: Past,
    root: Path,
    callback: LogCallback,
    observer: SearchObserver,
    scheduler: PlacingScheduler,
) -> None:
    os.environ.update(_RAY_SETTINGS)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what failed and why is ours to say
    searcher = DecisionSearcher(past, spec, root / "checkpoints", observer)
    tune_config = tune.TuneConfig(
        search_alg=searcher,
        scheduler=scheduler,
        num_samples=num_left(spec, past),
        reuse_actors=True,
        trial_name_creator=_trial_id,
        trial_dirname_creator=_trial_id,
    )
    # Ray's own state is not used again: the journal has what a resume needs.
    with tempfile.TemporaryDirectory(prefix="tunebox-", ignore_cleanup_errors=True) as storage:
        run_config = tune.RunConfig(
            name="ray",
            storage_path=storage,
            stop=_Stop(scheduler.ending),
            callbacks=[callback],
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=spec.search.max_failures),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # ours
        )
        tune.Tuner(TrialTrainable, tune_config=tune_config, run_config=run_config).fit()


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
    """Ends the search for Ray when its ending has come."""

    def __init__(self, ending: Ending) -> None:
        self._ending = ending

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._ending.reason is not None
