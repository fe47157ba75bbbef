"""Settings that do not depend on the reports: drawn at random, or spread evenly.

A leaf with a prior is drawn near its centre.
"""

from collections.abc import Mapping

import numpy as np

from tunebox.decisions.priors import by_prior
from tunebox.decisions.samplers import Reports, seed_of
from tunebox.decisions.trials import TrialState
from tunebox.pareto.objectives import FloatArray
from tunebox.spec.sample import value_at
from tunebox.spec.space import Scalar, Space, Values


class PointSampler:
    """Points of the unit cube as settings: one coordinate for each leaf, active or not."""

    def __init__(self, name: str, space: Space, seed: int) -> None:
        """Start at the first point.

        Args:
            name: ``random``, or ``qmc``: Sobol's sequence, scrambled by Owen's method.
            space: What is searched.
            seed: Random seed of the points.
        """
        assert name in ("random", "qmc")
        self._name = name
        self._space = space
        self._seed = seed
        self._num_trials = 0

    def ask(self, trial_id: str, given: Mapping[str, Scalar]) -> Values:
        """Return the next point as settings, with those ``given`` in their place."""
        return self.settings(self._num_trials, given)

    def settings(self, number: int, given: Mapping[str, Scalar]) -> Values:
        """Return point ``number``, from 0, as settings, with those ``given`` in their place."""
        leaves = self._space.leaves
        point = {
            leaf.path: float(by_prior(leaf, np.array([coordinate]))[0])
            for leaf, coordinate in zip(leaves, self._point(number), strict=True)
        }
        return self._space.draw(
            lambda leaf: (
                given[leaf.path]
                if leaf.path in given
                else value_at(leaf.distribution, point[leaf.path])
            )
        )

    def adopt(self, trial_id: str, values: Values) -> None:
        """Go on to the next point."""
        self._num_trials += 1

    def tell(self, trial_id: str, epoch: int, costs: FloatArray, violations: FloatArray) -> None:
        """Ignore a report."""

    def end(self, trial_id: str, failed: bool) -> None:
        """Ignore the end of a trial."""

    def learn(self, values: Values, reports: Reports, state: TrialState) -> None:
        """Ignore a trial of an earlier search."""

    def _point(self, number: int) -> list[float]:
        dimensions = len(self._space.leaves)
        if self._name == "random":
            generator = np.random.default_rng(seed_of(self._seed, number))
            return [float(x) for x in generator.random(dimensions)]
        from scipy.stats import qmc  # slow to import

        sequence = qmc.Sobol(dimensions, seed=np.random.default_rng(self._seed))
        if number:
            sequence.fast_forward(number)
        return [float(x) for x in sequence.random(1)[0]]
