"""Ray Tune's scheduler: passes reports to the search and chooses the nodes of trials."""

import time
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from tunebox.decisions.state import Continue
from tunebox.engine.drive import RunningSearch
from tunebox.engine.nodes.nodes import alive_nodes
from tunebox.engine.nodes.placement import TrialPlacement
from tunebox.engine.nodes.shared_folder import MarkedFolder
from tunebox.engine.ray.lost_trials import reason, was_given_back
from tunebox.engine.ray.not_pickled import NotPickled

_CAPACITY_SECONDS = 1.0  # for which a count of the cluster's capacity is reused


class TuneScheduler(NotPickled, FIFOScheduler):  # type: ignore[misc]
    """Ray asks it after every epoch of every trial, and for the trial that gets a free actor.

    A trial that finds its node unfit goes to another one.
    """

    def __init__(
        self, search: RunningSearch, placement: TrialPlacement, mark: MarkedFolder
    ) -> None:
        """Start.

        Args:
            search: Decides which trials go on.
            placement: The resource request of every trial.
            mark: The mark in the search's folder, which a node must see.
        """
        super().__init__()
        self._search = search
        self._placement = placement
        self._mark = mark
        self._last_capacity = 0
        self._counted_at = float("-inf")
        self._without_failures_left: set[str] = set()

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Give a trial its placement and the mark for which it checks its node."""
        trial.update_resources(self._placement)
        trial.config["mark"] = self._mark
        if trial.config["trial_id"] in self._without_failures_left:
            trial.max_failures = 0

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Return the trial that takes the next actor that becomes free.

        Ray Tune drops the actor that is still starting for that trial. While the cluster has
        capacity for more actors the newest trial is chosen: the actors of the others come up,
        even where trials end more often than an actor takes to start on a node that just joined.
        """
        trials = tune_controller.get_trials()
        waiting = [trial for trial in trials if trial.status == Trial.PENDING]
        num_running = sum(trial.status == Trial.RUNNING for trial in trials)
        if len(waiting) > 1 and 0 < num_running < self._capacity() - 1:  # one has just got free
            return waiting[-1]
        return super().choose_trial_to_run(tune_controller)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Let a trial wait again that Ray Tune gives up for what does not count as a failure.

        Its actor died while it changed from one trial to this one: Ray Tune then starts it again,
        for its actor is lost, and gives it up at once, for the change failed too. Or its node was
        given back when it had no failures left; it has none as Ray's next trial either.

        Ray also calls this for a trial that it is about to start again by itself. Such a trial has
        the status ERROR by then, and must not wait a second time.
        """
        trial_id = trial.config["trial_id"]
        if trial.status == Trial.PENDING:
            self._search.give_back(trial_id)
        elif trial.status == Trial.RUNNING and was_given_back(trial):
            self._without_failures_left.add(trial_id)
            self._search.note(f"trial {trial_id} starts again: {reason(trial)}")
            self._search.give_back(trial_id)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Return CONTINUE, or STOP for a trial that is to stop or pause."""
        for line in result.get("notes", []):
            self._search.note(line)
        if "unfit" in result:
            self._exclude_node(trial, result)
            return str(self.CONTINUE)
        if "failed" in result:
            return str(self.STOP)
        if (
            "unwritable" in result
        ):  # the resume trains the epoch again, since its checkpoint is missing
            host = result.get("hostname")
            self._search.end_for(
                f"a checkpoint cannot be written on {host}: {result['unwritable']}"
            )
            return str(self.CONTINUE)
        if "over" in result:
            return str(self.STOP)
        command = self._search.reported(
            trial.config["trial_id"],
            int(result["epoch"]),
            trial_metrics(result),
            result.get("hostname"),
            result.get("peak_memory"),
        )
        return str(self.CONTINUE if isinstance(command, Continue) else self.STOP)

    def _exclude_node(self, trial: Trial, result: dict[str, Any]) -> None:
        trial.max_failures += 1  # its actor gives up with its next step, which does not count
        excluded = self._placement.excluded
        excluded[result["node_id"]] = result["unfit"]
        request = self._placement.required_resources
        if all(node.node_id in excluded for node in alive_nodes() if node.fits(request)):
            self._search.end_for(f"no node is left that can run trials: {result['unfit']}")

    def _capacity(self) -> int:
        if time.monotonic() - self._counted_at > _CAPACITY_SECONDS:
            self._last_capacity = self._placement.capacity()
            self._counted_at = time.monotonic()
        return self._last_capacity


def trial_metrics(result: dict[str, Any]) -> dict[str, float]:
    """Return the metrics of a result, without the entries that Ray adds."""
    prefix = "metrics/"
    if "metrics" in result:
        return {name: float(value) for name, value in result["metrics"].items()}
    return {
        key.removeprefix(prefix): float(value)
        for key, value in result.items()
        if key.startswith(prefix)
    }
