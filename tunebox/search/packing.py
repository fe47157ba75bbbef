"""``gpus_per_trial: auto``: how many trials side by side train the most images on one GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError
from ray.util.placement_group import (
    PlacementGroup,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from tunebox.errors import ClusterError, first_line
from tunebox.search.memory import is_out_of_memory
from tunebox.search.nodes import Node, Resources, alive_nodes
from tunebox.search.placement import NODE_ID, TrialPlacement
from tunebox.spec.trial_config import TrialConfig

if TYPE_CHECKING:
    from tunebox.training.trial_run import TrialRun

_GAIN = 1.05  # in images per second, for which one more step is taken
_MEMORY = 0.9  # share of the GPU's memory that may be taken: other settings need more
_SECONDS = 5.0  # of training a step
_WARM_SECONDS = 1.0  # before the clock starts, so that all have begun and taken their memory
_LOOK_SECONDS = 1  # between two looks whether the node is there; Ray takes whole ones
_TRIES = 2  # a spot machine may be taken back


@dataclass(frozen=True)
class Measured:
    """So many trials at once train so many images a second, together.

    ``memory`` is the share of the GPU's memory that is taken, 0 to 1.
    """

    num_trials: int
    images_per_second: float
    memory: float


def pack(measure: Callable[[int], Measured | None], most: int) -> list[Measured]:
    """Return what was measured with growing numbers of trials, the best one last.

    Stops when one step more gains little, or would not fit into the memory.

    Args:
        measure: Takes a number of trials; gives None if they do not fit.
        most: Trials side by side that the CPUs suffice for.

    Raises:
        ClusterError: Not even one trial fits.
    """
    kept: list[Measured] = []
    for number in _numbers(most):
        if kept and kept[-1].memory * number / kept[-1].num_trials > _MEMORY:
            break
        measured = measure(number)
        if measured is None or (kept and measured.memory > _MEMORY):
            break
        if kept and measured.images_per_second < _GAIN * kept[-1].images_per_second:
            break
        kept.append(measured)
    if not kept:
        raise ClusterError(
            "--gpus-per-trial auto: a trial does not fit into the memory of a GPU; take a smaller "
            "training/batch_size or model"
        )
    return kept


def describe_packing(measured: list[Measured]) -> str:
    """Return one line: what was chosen, and what it stands on."""
    number = measured[-1].num_trials
    rates = ", ".join(f"{each.num_trials}: {each.images_per_second:.0f}" for each in measured)
    return (
        f"--gpus-per-trial auto: {number} at once on a GPU, so {share(number):g} GPUs a trial "
        f"(images per second by trials at once: {rates})"
    )


def share(num_trials: int) -> float:
    """Return what each of ``num_trials`` trials asks of a GPU; Ray counts in ten-thousandths."""
    return 10_000 // num_trials / 10_000


def measure_packing(
    config: TrialConfig, asked: Resources, left_out: Mapping[str, str]
) -> list[Measured]:
    """Return what `pack` does, on the first node that has a GPU free; waits for one.

    Args:
        config: Of all the trials.
        asked: By a trial that has a GPU for itself.
        left_out: The ids of nodes that no trial may run on.

    Raises:
        ClusterError: The trials fail, not even one fits, or the node was lost again and again.
    """
    for _ in range(_TRIES):
        try:
            return _measured_on(_node_with_gpu(asked, left_out), config, asked["CPU"])
        except _LostError as error:
            lost = error
    raise ClusterError(f"--gpus-per-trial auto: {lost}, in {_TRIES} tries; give a number instead")


class _LostError(Exception):
    """What the trials are measured on is gone, through no fault of theirs."""


def _node_with_gpu(asked: Resources, left_out: Mapping[str, str]) -> Node:
    with _held(TrialPlacement(asked, left_out).to_placement_group()) as group:
        ray.get(group.ready())
        [node_id] = placement_group_table(group)["bundles_to_node_id"].values()
    for node in alive_nodes():
        if node.node_id == node_id:
            return node
    raise _LostError("a node was lost as soon as it was there")


def _measured_on(node: Node, config: TrialConfig, cpus_per_trial: float) -> list[Measured]:
    cpus_per_gpu = node.resources["CPU"] / node.resources["GPU"]
    most = max(1, int(cpus_per_gpu / cpus_per_trial + 1e-6))
    room = {"GPU": 1.0, "CPU": most * cpus_per_trial}
    only = {NODE_ID: node.node_id}
    with _held(placement_group([room], bundle_label_selector=[only])) as group:
        while not group.wait(_LOOK_SECONDS):
            _check_is_there(node)
        return pack(SideBySide(config, node, group, cpus_per_trial), most)


@contextmanager
def _held(group: PlacementGroup) -> Iterator[PlacementGroup]:
    try:
        yield group
    finally:
        remove_placement_group(group)


def _check_is_there(node: Node) -> None:
    if node.node_id not in [alive.node_id for alive in alive_nodes()]:
        raise _LostError(f"node {node.name} was lost")


class SideBySide:
    """Measures trials in processes of their own, in room that nothing else gets meanwhile."""

    def __init__(
        self, config: TrialConfig, node: Node, group: PlacementGroup, cpus_per_trial: float
    ) -> None:
        """Set out to measure.

        Args:
            config: Of all the trials.
            node: On which they run.
            group: Room there: one GPU, and CPUs for as many trials as are measured.
            cpus_per_trial: As in the search.
        """
        self._config = config
        self._node = node
        self._group = group
        self._cpus_per_trial = cpus_per_trial

    def __call__(self, num_trials: int) -> Measured | None:
        """Return how fast ``num_trials`` trials at once are; None if they do not fit."""
        actor = ray.remote(_Rehearsal).options(
            num_cpus=self._cpus_per_trial,
            num_gpus=share(num_trials),
            scheduling_strategy=PlacementGroupSchedulingStrategy(self._group),
        )
        actors = [actor.remote(self._config, self._cpus_per_trial) for _ in range(num_trials)]
        try:
            self._answers([each.rehearse.remote(_WARM_SECONDS) for each in actors])
            rates = self._answers([each.rehearse.remote(_SECONDS) for each in actors])
            [memory] = self._answers([actors[0].memory.remote()])
        except OutOfMemoryError:  # the node's memory
            return None
        except RayActorError as error:
            _check_is_there(self._node)
            if num_trials > 1:  # more than the node bears
                return None
            killed = f"a trial was killed on {self._node.name} ({first_line(error)})"
            raise _LostError(killed) from error
        except RayTaskError as error:
            if is_out_of_memory(error.cause):
                return None
            raise ClusterError(f"--gpus-per-trial auto: a trial fails: {error.cause}") from error
        finally:
            for each in actors:
                ray.kill(each)
        return Measured(num_trials, sum(rates), memory)

    def _answers(self, asked: list[Any]) -> list[float]:
        """Return what the actors answer; Ray would wait for those of a lost node without end."""
        waiting = asked
        while waiting:
            _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=_LOOK_SECONDS)
            if waiting:
                _check_is_there(self._node)
        return list(ray.get(asked))


class _Rehearsal:
    """An actor that trains one trial."""

    def __init__(self, config: TrialConfig, cpus: float) -> None:
        self._config = config
        self._cpus = cpus
        self._run: TrialRun | None = None

    def rehearse(self, seconds: float) -> float:
        """Train for so long; give images per second."""
        if self._run is None:  # not when the actor starts: Ray would not tell what went wrong
            self._run = self._build()
        return self._run.rehearse(seconds)

    def _build(self) -> TrialRun:
        import torch

        from tunebox.training.trial_run import TrialRun

        torch.set_num_threads(max(1, int(self._cpus)))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        # of no end, so that the schedule of the learning rate has none
        return TrialRun(self._config, seed=0, max_epochs=1_000_000, device=device)

    def memory(self) -> float:
        """Give the share of the GPU's memory that all processes have taken."""
        import torch

        if not torch.cuda.is_available():
            return 0.0
        free, total = torch.cuda.mem_get_info()
        return 1 - free / total


def _numbers(most: int) -> Iterator[int]:
    """Give 1, 2, 3, 4, 6, 8, 12, 16, .. up to ``most``."""
    step = 1
    for number in (1, 2):
        if number <= most:
            yield number
    while 3 * step <= most:
        yield 3 * step
        if 4 * step <= most:
            yield 4 * step
        step *= 2
