"""Where trials run: on nodes that can run them, and on all of those."""

import time
from collections.abc import Mapping
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.util.placement_group import PlacementGroup, placement_group

from tunebox.search.ending import Ending
from tunebox.search.marked_folder import MarkedFolder
from tunebox.search.nodes import alive_nodes
from tunebox.search.past import Past
from tunebox.search.ray_adapters import DecisionScheduler

NODE_ID = "ray.io/node-id"  # a label that Ray gives to every node
_LOOK_SECONDS = 1.0  # between two looks at the nodes


class TrialPlacement(tune.PlacementGroupFactory):  # type: ignore[misc]
    """What a trial asks of a node, which may be any but those that are left out.

    Equal to the same request without nodes left out: an actor that runs stays where it is.
    """

    def __init__(self, asked: Mapping[str, float], left_out: Mapping[str, str]) -> None:
        """Ask for ``asked``.

        Args:
            asked: Amounts by resource.
            left_out: The ids of nodes, with reasons; those that turn out unfit join them.
        """
        super().__init__([dict(asked)])
        self.left_out = dict(left_out)

    def __reduce__(self) -> tuple[Any, ...]:
        """Be a plain request for actors, which learn from it what they have."""
        return tune.PlacementGroupFactory, (self.bundles,)

    def to_placement_group(self) -> PlacementGroup:
        """Ask Ray for the room of one trial."""
        if not self.left_out:
            return placement_group(self.bundles)
        others = {NODE_ID: f"!in({','.join(sorted(self.left_out))})"}
        return placement_group(self.bundles, bundle_label_selector=[others])

    def num_places(self) -> int:
        """Return how many trials fit on the nodes that are there when nothing else runs."""
        nodes = [node for node in alive_nodes() if node.node_id not in self.left_out]
        return sum(node.num_times(self.required_resources) for node in nodes)


class PlacingScheduler(DecisionScheduler):
    """Also says where trials run. A trial that finds its node unfit goes to another one."""

    def __init__(
        self,
        past: Past,
        placement: TrialPlacement,
        mark: MarkedFolder,
        ending: Ending,
    ) -> None:
        """Start.

        Args:
            past: Its decisions are asked who goes on.
            placement: Of all trials.
            mark: Of the search's folder, which a node must share.
            ending: Told when no node is left.
        """
        super().__init__(past)
        self.ending = ending
        self._placement = placement
        self._mark = mark
        self._num_places = 0
        self._looked = float("-inf")

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Give a trial its placement, and what its node is checked for."""
        trial.update_resources(self._placement)
        trial.config["mark"] = self._mark

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Return the trial that takes the next actor that gets free.

        Ray Tune gives up an actor that is starting for that trial. While there is room for more
        actors it is the newest one: those that are starting for the others come up, even where
        trials end more often than an actor takes to start on a node that has just joined.
        """
        trials = tune_controller.get_trials()
        waiting = [trial for trial in trials if trial.status == Trial.PENDING]
        num_running = sum(trial.status == Trial.RUNNING for trial in trials)
        if len(waiting) > 1 and 0 < num_running < self._places() - 1:  # one has just got free
            return waiting[-1]
        return super().choose_trial_to_run(tune_controller)

    def _places(self) -> int:
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._num_places = self._placement.num_places()
            self._looked = time.monotonic()
        return self._num_places

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Return CONTINUE or STOP. An unfit node is no fault of the trial and does not count."""
        if "unfit" not in result:
            return super().on_trial_result(tune_controller, trial, result)
        trial.max_failures += 1  # its actor gives up with its next step
        left_out = self._placement.left_out
        left_out[result["node_id"]] = result["unfit"]
        asked = self._placement.required_resources
        if all(node.node_id in left_out for node in alive_nodes() if node.has_room(asked)):
            self.ending.end_for(f"no node is left that can run trials: {result['unfit']}")
        return str(self.CONTINUE)
