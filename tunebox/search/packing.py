"""``gpus_per_trial: auto``: how many trials side by side train the most images on one GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from typing_extensions import Self

from tunebox.errors import ClusterError
from tunebox.search.nodes import Resources
from tunebox.spec.trial_config import TrialConfig

if TYPE_CHECKING:
    from tunebox.training.trial_run import TrialRun

_GAIN = 1.05  # in images per second, for which one more step is taken
_MEMORY = 0.9  # share of the GPU's memory that may be taken: other settings need more
_SECONDS = 5.0  # of training a step
_WARM_SECONDS = 1.0  # before the clock starts, so that all have begun and taken their memory


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


class SideBySide:
    """Measures trials in processes of their own, in room that nothing else gets meanwhile."""

    def __init__(self, config: TrialConfig, room: Resources, cpus_per_trial: float) -> None:
        """Set out to measure.

        Args:
            config: Of all the trials.
            room: On one node: one GPU and what CPUs there are for it; no GPU measures on CPUs.
            cpus_per_trial: As in the search.
        """
        self._config = config
        self._room = {name: amount for name, amount in room.items() if amount}
        self._cpus_per_trial = cpus_per_trial

    def __enter__(self) -> Self:
        """Wait for the room."""
        self._group = placement_group([self._room])
        ray.get(self._group.ready())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the room back."""
        remove_placement_group(self._group)

    def __call__(self, num_trials: int) -> Measured | None:
        """Return how fast ``num_trials`` trials at once are; None if they do not fit."""
        actor = ray.remote(_Rehearsal).options(
            num_cpus=self._cpus_per_trial,
            num_gpus=self._room.get("GPU", 0) * share(num_trials),
            scheduling_strategy=PlacementGroupSchedulingStrategy(self._group),
        )
        actors = [actor.remote(self._config, self._cpus_per_trial) for _ in range(num_trials)]
        try:
            ray.get([each.rehearse.remote(_WARM_SECONDS) for each in actors])
            rates = ray.get([each.rehearse.remote(_SECONDS) for each in actors])
            memory = ray.get(actors[0].memory.remote())
        except (RayActorError, OutOfMemoryError):  # the system's memory
            return None
        except RayTaskError as error:
            if _is_memory(error.cause):
                return None
            raise ClusterError(f"--gpus-per-trial auto: a trial fails: {error.cause}") from error
        finally:
            for each in actors:
                ray.kill(each)
        return Measured(num_trials, sum(rates), memory)


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


def _is_memory(cause: Any) -> bool:
    return "out of memory" in str(cause).lower()


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
