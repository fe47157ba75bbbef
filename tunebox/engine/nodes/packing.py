"""``gpus_per_trial: auto``: measure how many trials on one GPU train the most images a second."""

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

from tunebox.engine.nodes.nodes import Node, Resources, alive_nodes
from tunebox.engine.nodes.placement import NODE_ID, TrialPlacement
from tunebox.engine.worker import is_out_of_memory
from tunebox.errors import ClusterError, first_line
from tunebox.spec.trial_config import TrialConfig

if TYPE_CHECKING:
    from tunebox.training.cross_validation import CrossValidatedRun
    from tunebox.training.trial_run import TrialRun

_MIN_GAIN = 1.05  # ratio of images per second that makes more trials worth it
_MAX_MEMORY = 0.9  # fraction of the GPU's memory: trials with other settings may need more
_MEASURE_SECONDS = 5.0  # of training for each number of trials
_WARM_UP_SECONDS = 1.0  # before the measurement: all trials have allocated their memory
_POLL_SECONDS = 1  # between two checks that the node is alive; Ray takes whole seconds
_MAX_TRIES = 2  # a spot machine may be preempted


@dataclass(frozen=True)
class Throughput:
    """Measured throughput of concurrent trials on one GPU.

    Attributes:
        num_trials: Number of concurrent trials.
        images_per_second: Images per second of all of them together.
        memory: Fraction of the GPU's memory in use, 0 to 1.
    """

    num_trials: int
    images_per_second: float
    memory: float


def pack(measure: Callable[[int], Throughput | None], max_trials: int) -> list[Throughput]:
    """Measure growing numbers of trials until more of them gain little or need too much memory.

    Args:
        measure: Measures a number of concurrent trials; returns None if they do not fit.
        max_trials: Largest number of concurrent trials, by the CPUs of the node.

    Returns:
        The measurements in order; the last one is the best.

    Raises:
        ClusterError: A single trial does not fit.
    """
    kept: list[Throughput] = []
    for number in _trial_counts(max_trials):
        if kept and kept[-1].memory * number / kept[-1].num_trials > _MAX_MEMORY:
            break
        measured = measure(number)
        if measured is None or (kept and measured.memory > _MAX_MEMORY):
            break
        if kept and measured.images_per_second < _MIN_GAIN * kept[-1].images_per_second:
            break
        kept.append(measured)
    if not kept:
        raise ClusterError(
            "--gpus-per-trial auto: a trial does not fit into the memory of a GPU; take a smaller "
            "training/batch_size or model"
        )
    return kept


def describe_packing(measured: list[Throughput]) -> str:
    """Return a line with the chosen number of trials and the measurements behind it."""
    number = measured[-1].num_trials
    rates = ", ".join(f"{each.num_trials}: {each.images_per_second:.0f}" for each in measured)
    return (
        f"--gpus-per-trial auto: {number} at once on a GPU, so {gpu_fraction(number):g} GPUs a "
        f"trial (images per second by trials at once: {rates})"
    )


def gpu_fraction(num_trials: int) -> float:
    """Return the GPUs of each of ``num_trials`` trials on one GPU, in Ray's ten-thousandths."""
    return 10_000 // num_trials / 10_000


def measure_packing(
    config: TrialConfig, request: Resources, excluded: Mapping[str, str]
) -> list[Throughput]:
    """Run `pack` on the first node with a free GPU, after waiting for one.

    Args:
        config: Config of all measured trials.
        request: Resources of a trial that has a GPU to itself.
        excluded: Reason by id of the nodes on which no trial may run.

    Returns:
        The measurements in order; the last one is the best.

    Raises:
        ClusterError: The trials fail, a single one does not fit, or the node was lost each time.
    """
    for _ in range(_MAX_TRIES):
        try:
            return _measure_on(_node_with_gpu(request, excluded), config, request["CPU"])
        except _LostError as error:
            lost = error
    raise ClusterError(
        f"--gpus-per-trial auto: {lost}, in {_MAX_TRIES} tries; give a number instead"
    )


class _LostError(Exception):
    """The node or a trial on it was lost, which is not a failure of the trial."""


def _node_with_gpu(request: Resources, excluded: Mapping[str, str]) -> Node:
    with _reserved(TrialPlacement(request, excluded).to_placement_group()) as group:
        ray.get(group.ready())
        [node_id] = placement_group_table(group)["bundles_to_node_id"].values()
    for node in alive_nodes():
        if node.node_id == node_id:
            return node
    raise _LostError("a node was lost as soon as it was there")


def _measure_on(node: Node, config: TrialConfig, cpus_per_trial: float) -> list[Throughput]:
    cpus_per_gpu = node.resources["CPU"] / node.resources["GPU"]
    max_trials = max(1, int(cpus_per_gpu / cpus_per_trial + 1e-6))
    bundle = {"GPU": 1.0, "CPU": max_trials * cpus_per_trial}
    selector = {NODE_ID: node.node_id}
    with _reserved(placement_group([bundle], bundle_label_selector=[selector])) as group:
        while not group.wait(_POLL_SECONDS):
            _check_alive(node)
        return pack(ConcurrentTrials(config, node, group, cpus_per_trial), max_trials)


@contextmanager
def _reserved(group: PlacementGroup) -> Iterator[PlacementGroup]:
    try:
        yield group
    finally:
        remove_placement_group(group)


def _check_alive(node: Node) -> None:
    if node.node_id not in [alive.node_id for alive in alive_nodes()]:
        raise _LostError(f"node {node.name} was lost")


class ConcurrentTrials:
    """Measures concurrent trials, an actor each, on resources reserved for them alone."""

    def __init__(
        self, config: TrialConfig, node: Node, group: PlacementGroup, cpus_per_trial: float
    ) -> None:
        """Remember what to measure; no actor is started.

        Args:
            config: Config of all measured trials.
            node: Node of ``group``.
            group: Reserved resources: one GPU, and CPUs for the largest number of trials.
            cpus_per_trial: CPUs of a trial, as in the search.
        """
        self._config = config
        self._node = node
        self._group = group
        self._cpus_per_trial = cpus_per_trial

    def __call__(self, num_trials: int) -> Throughput | None:
        """Return the throughput of ``num_trials`` concurrent trials, None if they do not fit."""
        actor = ray.remote(_Rehearsal).options(
            num_cpus=self._cpus_per_trial,
            num_gpus=gpu_fraction(num_trials),
            scheduling_strategy=PlacementGroupSchedulingStrategy(self._group),
        )
        actors = [actor.remote(self._config, self._cpus_per_trial) for _ in range(num_trials)]
        try:
            self._results([each.rehearse.remote(_WARM_UP_SECONDS) for each in actors])
            rates = self._results([each.rehearse.remote(_MEASURE_SECONDS) for each in actors])
            [memory] = self._results([actors[0].memory.remote()])
        except OutOfMemoryError:  # the node's memory
            return None
        except RayActorError as error:
            _check_alive(self._node)
            if num_trials > 1:  # too many for the node
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
        return Throughput(num_trials, sum(rates), memory)

    def _results(self, references: list[Any]) -> list[float]:
        """Return the actors' results; Ray alone would wait forever for those of a lost node."""
        waiting = references
        while waiting:
            _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=_POLL_SECONDS)
            if waiting:
                _check_alive(self._node)
        return list(ray.get(references))


class _Rehearsal:
    """Actor that trains one trial."""

    def __init__(self, config: TrialConfig, cpus: float) -> None:
        self._config = config
        self._cpus = cpus
        self._run: TrialRun | CrossValidatedRun | None = None

    def rehearse(self, seconds: float) -> float:
        """Train for so many seconds and return the images per second."""
        if self._run is None:  # not in __init__: Ray would not pass on its exception
            self._run = self._build()
        return self._run.rehearse(seconds)

    def _build(self) -> TrialRun | CrossValidatedRun:
        import torch

        from tunebox.training.cross_validation import CrossValidatedRun
        from tunebox.training.make_run import make_run
        from tunebox.training.trial_run import TrialRun

        torch.set_num_threads(max(1, int(self._cpus)))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        # enough epochs that the schedule of the learning rate does not end
        run = make_run(self._config, seed=0, max_epochs=1_000_000, device=device)
        assert isinstance(run, TrialRun | CrossValidatedRun)  # no other run is rehearsed
        return run

    def memory(self) -> float:
        """Return the fraction of the GPU's memory that all processes together use."""
        import torch

        if not torch.cuda.is_available():
            return 0.0
        free, total = torch.cuda.mem_get_info()
        return 1 - free / total


def _trial_counts(most: int) -> Iterator[int]:
    """Yield 1, 2, 3, 4, 6, 8, 12, 16, .. up to ``most``."""
    step = 1
    for number in (1, 2):
        if number <= most:
            yield number
    while 3 * step <= most:
        yield 3 * step
        if 4 * step <= most:
            yield 4 * step
        step *= 2
