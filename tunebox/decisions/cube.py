"""Settings as points of a unit cube, many at a time, for a model of what trials report.

There are two kinds of points. *Quantiles* have a coordinate in [0, 1) for each leaf, active or not;
they are drawn and changed. *Features* are what a model sees: a coordinate for each range, in
logarithms where the range is, one for an ordered or two-valued choice, and one for each option of
another choice. Leaves of different branches that mean the same share their features, so that what
was learned in one branch counts in the other.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tunebox.decisions.priors import by_prior, log_prior
from tunebox.pareto.objectives import FloatArray
from tunebox.spec.sample import BELOW_ONE, quantile_of, value_at
from tunebox.spec.space import Choice, Distribution, Leaf, Scalar, Space, Values

INACTIVE = 0.5  # the features of a leaf in a branch that was not chosen
_RESAMPLED = {True: 0.6, False: 0.3}  # how often a changed choice is drawn anew, if ordered or not

Mask = NDArray[np.bool_]


class Cube:
    """The points of a space."""

    def __init__(self, space: Space) -> None:
        """Give each leaf its features."""
        self._space = space
        self._leaves = space.leaves
        self._place = {leaf.path: place for place, leaf in enumerate(self._leaves)}
        first: dict[tuple[str, Distribution], int] = {}
        self._first_with: list[int] = []  # for each leaf, the first one that means the same
        for place, leaf in enumerate(self._leaves):
            key = (_meaning(leaf), leaf.distribution)
            self._first_with.append(first.setdefault(key, place))
        self._columns: dict[int, slice] = {}
        self.num_features = 0
        for place in first.values():
            width = _width(self._leaves[place].distribution)
            self._columns[place] = slice(self.num_features, self.num_features + width)
            self.num_features += width

    def quantiles(self, values: Values) -> FloatArray:
        """Return quantiles ``(L,)`` of settings.

        An inactive leaf has that of an active one that means the same, or else NaN.
        """
        known = np.full(len(self._leaves), np.nan)
        for path, value in values.items():
            place = self._place[path]
            known[self._first_with[place]] = quantile_of(self._leaves[place].distribution, value)
        return np.asarray(known[self._first_with], dtype=np.float64)

    def settings(self, quantiles: FloatArray, given: Mapping[str, Scalar]) -> Values:
        """Return the settings at quantiles ``(L,)``, with those ``given`` in their place."""
        return self._space.draw(
            lambda leaf: (
                given[leaf.path]
                if leaf.path in given
                else value_at(leaf.distribution, float(quantiles[self._place[leaf.path]]))
            )
        )

    def features(self, quantiles: FloatArray) -> FloatArray:
        """Return the features ``(N, F)`` of the settings at quantiles ``(N, L)``."""
        features = np.full((len(quantiles), self.num_features), INACTIVE)
        active = self._active(quantiles)
        for place, leaf in enumerate(self._leaves):
            rows = np.flatnonzero(active[:, place])
            columns = self._columns[self._first_with[place]]
            features[rows, columns] = _features(leaf.distribution, quantiles[rows, place])
        return features

    def random(
        self, generator: np.random.Generator, count: int, given: Mapping[str, Scalar]
    ) -> FloatArray:
        """Return random quantiles ``(count, L)``, with the settings ``given`` in their place."""
        return self._with_given(generator.random((count, len(self._leaves))), given)

    def expected(
        self, generator: np.random.Generator, count: int, given: Mapping[str, Scalar]
    ) -> FloatArray:
        """Return quantiles ``(count, L)`` drawn from the priors; those without one are random."""
        points = generator.random((count, len(self._leaves)))
        for place, leaf in enumerate(self._leaves):
            points[:, place] = by_prior(leaf, points[:, place])
        return self._with_given(points, given)

    @property
    def has_priors(self) -> bool:
        """Whether a leaf has a prior."""
        return any(leaf.prior is not None for leaf in self._leaves)

    def log_prior(self, quantiles: FloatArray) -> FloatArray:
        """Return how the priors of active leaves see quantiles ``(N, L)``: ``(N,)``, at most 0."""
        active = self._active(quantiles)
        columns = [
            np.where(active[:, place], log_prior(leaf, np.nan_to_num(quantiles[:, place])), 0.0)
            for place, leaf in enumerate(self._leaves)
        ]
        return np.asarray(np.sum(columns, axis=0), dtype=np.float64)

    def neighbours(
        self,
        generator: np.random.Generator,
        parents: FloatArray,
        sizes: tuple[float, float],
        given: Mapping[str, Scalar],
    ) -> FloatArray:
        """Return a changed copy of each parent.

        Args:
            generator: Source of the changes.
            parents: ``(N, L)`` quantiles; what is NaN is drawn at random.
            sizes: The smallest and the largest standard deviation of a change, as logarithms to
                base 10; that of a copy is between them.
            given: Settings that are not changed.
        """
        shape = parents.shape
        anew = generator.random(shape)
        share = generator.uniform(0.15, 1.0, (shape[0], 1))  # of the leaves that change
        is_changed = generator.random(shape) < share
        size = 10 ** generator.uniform(*sizes, (shape[0], 1))
        moved = parents + size * generator.standard_normal(shape)  # clipped below: ends are tried
        is_choice = np.array([isinstance(leaf.distribution, Choice) for leaf in self._leaves])
        odds = np.array([_RESAMPLED[_is_ordered(leaf.distribution)] for leaf in self._leaves])
        moved = np.where(is_choice, np.where(generator.random(shape) < odds, anew, parents), moved)
        children = np.where(is_changed, moved, parents)
        children = np.where(np.isnan(children), anew, children)
        return self._with_given(np.clip(children, 0.0, BELOW_ONE), given)

    def _with_given(self, quantiles: FloatArray, given: Mapping[str, Scalar]) -> FloatArray:
        for path, value in given.items():
            place = self._place[path]
            quantiles[:, place] = quantile_of(self._leaves[place].distribution, value)
        return quantiles

    def _active(self, quantiles: FloatArray) -> Mask:
        """Return which leaves are active, ``(N, L)``."""
        active = np.ones(quantiles.shape, dtype=bool)
        for place, leaf in enumerate(self._leaves):
            for path, branch in leaf.condition:
                chooser = self._place[path]
                options = self._leaves[chooser].distribution.ends
                chosen = _index(quantiles[:, chooser], len(options))
                is_taken = chosen == options.index(branch)
                active[:, place] &= active[:, chooser] & is_taken
        return active


def _meaning(leaf: Leaf) -> str:
    """Return the path of a leaf without the names of the branches that lead to it."""
    path = leaf.path
    for chooser, branch in leaf.condition:
        head = f"{chooser}/{branch}/"
        if path.startswith(head):
            path = f"{chooser}/*/{path.removeprefix(head)}"
    return path


def _is_ordered(distribution: Distribution) -> bool:
    """Whether the options of a choice are numbers; the values of a range are."""
    return not isinstance(distribution, Choice) or all(
        isinstance(option, int | float) and not isinstance(option, bool)
        for option in distribution.options
    )


def _width(distribution: Distribution) -> int:
    """Return the number of features of a leaf."""
    if _is_ordered(distribution) or len(distribution.ends) <= 2:
        return 1
    return len(distribution.ends)


def _index(quantiles: FloatArray, count: int) -> NDArray[np.intp]:
    return np.minimum((np.nan_to_num(quantiles) * count).astype(np.intp), count - 1)


def _features(distribution: Distribution, quantiles: FloatArray) -> FloatArray:
    """Return the features ``(N, F)`` of one leaf at quantiles ``(N,)``."""
    if not isinstance(distribution, Choice):
        return _place_in_range(distribution, quantiles)[:, None]
    index, count = _index(quantiles, len(distribution.options)), len(distribution.options)
    if _width(distribution) > 1:
        return np.eye(count)[index]
    rank = np.arange(count)
    if _is_ordered(distribution):
        rank = np.argsort(np.argsort(np.array(distribution.options, dtype=np.float64)))
    return np.asarray(rank[index][:, None] / max(1, count - 1), dtype=np.float64)


def _place_in_range(distribution: Distribution, quantiles: FloatArray) -> FloatArray:
    """Return where in a range its values at ``quantiles`` are, from 0 to 1."""
    assert not isinstance(distribution, Choice)
    if not distribution.integer:
        return quantiles
    low, high = float(distribution.low), float(distribution.high)
    if not distribution.log:
        return _index(quantiles, int(high - low) + 1) / (high - low)
    span = math.log(high) - math.log(low)
    values = np.round(np.exp(math.log(low) + quantiles * span))
    return np.asarray((np.log(values) - math.log(low)) / span, dtype=np.float64)
