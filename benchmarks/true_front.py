"""The reference point and the true front of a problem, found by evolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tunebox.decisions.cube import Cube
from tunebox.pareto.dominance import is_nondominated
from tunebox.pareto.hypervolume import hypervolume
from tunebox.pareto.objectives import FloatArray
from tunebox.spec.space import Scalar

if TYPE_CHECKING:
    from benchmarks.problems import Problem


@dataclass(frozen=True)
class Truth:
    """The reference costs ``(D,)`` and the hypervolume of the true front."""

    reference: FloatArray
    hypervolume: float


def find_truth(
    problem: Problem, *, num_random: int = 20_000, generations: int = 100, children: int = 1000
) -> Truth:
    """Return the truth of a problem.

    The reference is the median over random settings of their costs at the last epoch, so that half
    of all settings count nothing. The front is that of the last quarter of the epochs. It is
    found by evolution, first in each branch alone and then in all together; a search may find a
    little more.

    Args:
        problem: Its space, epochs and true costs; nothing else is used.
        num_random: Random settings to start from.
        generations: Of the evolution of all branches together; each alone has half as many.
        children: In each generation.
    """
    generator = np.random.default_rng(0)
    cube = Cube(problem.space)
    quantiles = cube.random(generator, num_random, {})
    evolution = _Evolution(problem, cube, generator)
    last = evolution.costs(quantiles)[:, -1]
    reference = np.median(last, axis=0)
    evolution.add(quantiles)
    for given in _branches(problem):
        alone = _Evolution(problem, cube, generator)
        alone.add(cube.random(generator, num_random // 4, given))
        for _ in range(generations // 2):
            alone.breed(children // 2, given)
        evolution.add(alone.parents)
    for _ in range(generations):
        evolution.breed(children, {})
    return Truth(reference, hypervolume(evolution.front, reference))


def _branches(problem: Problem) -> list[dict[str, Scalar]]:
    """Return the options of the first choice between branches; nothing without one."""
    choosers = [path for leaf in problem.space.leaves for path, _ in leaf.condition]
    leaves = [leaf for leaf in problem.space.leaves if leaf.path in choosers[:1]]
    return [{leaf.path: option} for leaf in leaves for option in leaf.distribution.ends]


class _Evolution:
    """Settings on the front of all that were added, over the last quarter of the epochs."""

    def __init__(self, problem: Problem, cube: Cube, generator: np.random.Generator) -> None:
        self._problem, self._cube, self._generator = problem, cube, generator
        last = problem.max_epochs
        self._epochs = sorted({round(last * share) for share in (0.75, 0.9, 1.0)})
        self.parents: FloatArray = np.zeros((0, len(problem.space.leaves)))
        self.front: FloatArray = np.zeros((0, 1))  # costs

    def costs(self, quantiles: FloatArray) -> FloatArray:
        """Return costs ``(N, epochs, D)``."""
        values = [self._cube.settings(row, {}) for row in quantiles]
        return self._problem.true_costs(values, self._epochs)

    def add(self, quantiles: FloatArray) -> None:
        """Add settings ``(N, L)``."""
        costs = self.costs(quantiles)
        count, num_epochs, num_objectives = costs.shape
        rows = np.repeat(np.arange(count), num_epochs)
        found = costs.reshape(-1, num_objectives)
        everything = np.concatenate([self.front.reshape(-1, num_objectives), found])
        settings = np.concatenate([self.parents, quantiles[rows]])
        on_front = is_nondominated(everything)
        self.front, self.parents = everything[on_front], settings[on_front]

    def breed(self, children: int, given: dict[str, Scalar]) -> None:
        """Add changed copies of settings on the front, a third of them of two parents each."""
        first, second = self.parents[
            self._generator.integers(len(self.parents), size=(2, children))
        ]
        is_crossed = self._generator.random((children, 1)) < 1 / 3
        is_second = is_crossed & (self._generator.random(first.shape) < 0.5)
        chosen = np.where(is_second, second, first)
        self.add(self._cube.neighbours(self._generator, chosen, (-3.0, -0.5), given))
