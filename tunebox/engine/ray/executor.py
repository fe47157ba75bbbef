"""Runs the trials of a search on a Ray cluster, by one call of Ray Tune's Tuner.

Ray Tune asks for trials, starts and restarts their actors, and passes on their reports. All
decisions come from the search: the searcher, the scheduler and the callback below are adapters
that decide nothing.
"""

import logging
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ray import tune
from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from tunebox.decisions.state import Pause, Stop
from tunebox.engine.drive import RunningSearch
from tunebox.engine.executor import Executor
from tunebox.engine.nodes.capacity import trial_resources
from tunebox.engine.nodes.memory import NodeMemory
from tunebox.engine.nodes.placement import TrialPlacement
from tunebox.engine.nodes.shared_folder import marked_folder
from tunebox.engine.ray.lost_trials import (
    is_counted_by_ray,
    ran_out_of_memory,
    reason,
    was_given_back,
)
from tunebox.engine.ray.memory_kills import memory_kills_as_lost_actors
from tunebox.engine.ray.not_pickled import NotPickled
from tunebox.engine.ray.scheduler import TuneScheduler
from tunebox.engine.ray.slots import Slots
from tunebox.engine.ray.trainable import TrialTrainable
from tunebox.engine.worker import trial_task
from tunebox.records.search_folder import SearchFolder
from tunebox.spec.search_spec import SearchSpec
from tunebox.text import counted

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
_IDS = re.compile(r"[0-9a-f]{8,}|\d+")  # of actors, nodes, processes; addresses


class RayTuneExecutor(Executor):
    """Runs trials on the Ray cluster that this process has joined."""

    def __init__(
        self,
        spec: SearchSpec,
        rungs: tuple[int, ...],
        root: Path,
        excluded: Mapping[str, str] = MappingProxyType({}),
        memory: Sequence[NodeMemory] = (),
    ) -> None:
        """Remember the search; nothing runs before `run`.

        Args:
            spec: What is searched.
            rungs: Epochs at which a trial may end or pause.
            root: Folder of the search; every node writes its checkpoints there.
            excluded: Ids of nodes that no trial may run on, with reasons.
            memory: Memory of all nodes before trials run; empty if it is not known.
        """
        self._spec = spec
        self._rungs = rungs
        self._root = root
        self._excluded = excluded
        self._memory = memory

    def run(self, search: RunningSearch) -> None:
        """Run trials until the search has none left or has a reason to stop."""
        os.environ.update(_RAY_SETTINGS)
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are shown by the search
        settings = self._spec.search
        slots = Slots(settings.max_concurrent, nodes=self._memory, need=search.log.memory)
        placement = TrialPlacement(trial_resources(settings), self._excluded)
        with (
            marked_folder(self._root / ".nodes") as mark,
            memory_kills_as_lost_actors(),
            # Ray's own state is not used again: the journal has what a resume needs.
            tempfile.TemporaryDirectory(prefix="tunebox-", ignore_cleanup_errors=True) as storage,
        ):
            tune_config = tune.TuneConfig(
                search_alg=TuneSearcher(search, self._spec, self._rungs, self._root, slots),
                scheduler=TuneScheduler(search, placement, mark),
                num_samples=-1,  # the searcher says when there are no more
                reuse_actors=True,
                trial_name_creator=_trial_id,
                trial_dirname_creator=_trial_id,
            )
            run_config = tune.RunConfig(
                name="ray",
                storage_path=storage,
                stop=_Stop(search),
                callbacks=[TuneCallback(search, slots, settings.trials)],
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=settings.max_failures),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # ours
            )
            tune.Tuner(TrialTrainable, tune_config=tune_config, run_config=run_config).fit()


class TuneSearcher(NotPickled, Searcher):  # type: ignore[misc]
    """Gives Ray the next trial: first those that wait to continue, then new ones.

    A trial's config holds our ``trial_id`` (trials are numbered, so that the same search gives
    the same names) and the ``task`` of its process.
    """

    def __init__(
        self,
        search: RunningSearch,
        spec: SearchSpec,
        rungs: tuple[int, ...],
        root: Path,
        slots: Slots | None = None,
    ) -> None:
        super().__init__()
        self._search = search
        self._spec = spec
        self._rungs = rungs
        self._folder = SearchFolder(root)
        self._slots = Slots(spec.search.max_concurrent) if slots is None else slots

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the config of the next trial, None while there is none, at last FINISHED."""
        if self._slots.are_taken:
            return None
        start = self._search.next_trial()
        if start is None:  # a report of a trial that runs may promote one that is paused
            return None if self._slots.active else str(Searcher.FINISHED)
        self._slots.active.add(trial_id)
        task = trial_task(self._spec, start, self._rungs, self._folder)
        return {"trial_id": start.trial_id, "task": vars(task)}

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the journal has what a resume needs."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Count one active trial less; its reports arrived through the scheduler."""
        self._slots.active.discard(trial_id)


class TuneCallback(NotPickled, Callback):  # type: ignore[misc]
    """Reports starts and ends of Ray's trials to the search, in the driver's only thread."""

    def __init__(
        self, search: RunningSearch, slots: Slots | None = None, num_trials: int = 1
    ) -> None:
        self._search = search
        self._num_trials = num_trials
        self._slots = Slots(None) if slots is None else slots

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Handle a start, a continuation, or a restart after the loss of a worker."""
        self._search.started(trial.config["trial_id"])

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        """Handle the end of a trial that failed, or that the scheduler stopped or paused."""
        trial_id, last = trial.config["trial_id"], trial.last_result
        if "failed" in last:
            self._search.failed(trial_id, last["failed"], last["failed_at"], last["traceback"])
            return
        if "over" in last:
            self._search.ended(trial_id)
            return
        command = self._search.command(trial_id)  # another one: the search ends before it does
        if isinstance(command, Pause):
            self._search.paused(trial_id)
        elif isinstance(command, Stop):
            self._search.ended(trial_id)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """A trial lost its worker, its memory or its node, and starts again."""
        if was_given_back(trial) and is_counted_by_ray(trial):
            trial.max_failures += 1
        self._search.note(f"trial {trial.config['trial_id']} starts again: {reason(trial)}")
        if ran_out_of_memory(trial) and self._slots.lower():
            run = counted(self._slots.limit or 1, "trial runs", "trials run")
            self._search.note(f"at most {run} at once from now on")

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """A trial lost its worker or its memory too often, unless it waits to start again."""
        trial_id = trial.config["trial_id"]
        if not self._search.is_waiting(trial_id):
            why = reason(trial)
            place = "out of memory" if ran_out_of_memory(trial) else _IDS.sub("#", why)
            self._search.failed(trial_id, why, place, None)

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Count with what trials were measured to take, and let observers do their work."""
        line = self._slots.fit(self._search.log.memory, self._num_trials)
        if line is not None:
            self._search.note(line)
        self._search.tick()


class _Stop(NotPickled, Stopper):  # type: ignore[misc]
    """Makes Ray Tune stop once the search has a reason to stop."""

    def __init__(self, search: RunningSearch) -> None:
        self._search = search

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._search.stop_reason is not None


def _trial_id(trial: Any) -> str:
    return str(trial.config["trial_id"])
