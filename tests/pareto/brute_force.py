"""The definitions written out, slow and independent of how the package computes them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from tunebox.pareto.isolation import IsolationRule

FloatArray = NDArray[np.float64]
Point = Sequence[float]


def dominates(one: Point, other: Point) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def ranks(costs: FloatArray) -> list[int]:
    """Fronts peeled off one after the other."""
    left = set(range(len(costs)))
    found = [0] * len(costs)
    for rank in itertools.count():
        if not left:
            return found
        front = {i for i in left if not any(dominates(costs[j], costs[i]) for j in left)}
        for i in front:
            found[i] = rank
        left -= front
    raise AssertionError


def hypervolume(costs: FloatArray, reference: FloatArray) -> float:
    """The boxes of the grid through all coordinates, each counted if a point dominates it."""
    inside = [tuple(point) for point in costs if all(point < reference)]
    if not inside:
        return 0.0
    edges = [
        sorted({point[axis] for point in inside} | {float(reference[axis])})
        for axis in range(len(reference))
    ]
    total = 0.0
    for cell in itertools.product(*(itertools.pairwise(axis) for axis in edges)):
        corner = [low for low, _ in cell]
        if any(all(p <= c for p, c in zip(point, corner, strict=True)) for point in inside):
            total += float(np.prod([high - low for low, high in cell]))
    return total


def crowding(costs: FloatArray) -> FloatArray:
    """For each point the gap between the next values below and above; no two values are equal."""
    found = []
    for i, point in enumerate(costs):
        total = 0.0
        for axis in range(costs.shape[1]):
            others = [float(costs[j, axis]) for j in range(len(costs)) if j != i]
            below = [value for value in others if value < point[axis]]
            above = [value for value in others if value > point[axis]]
            if not below or not above:
                total = float("inf")
                break
            values = costs[:, axis]
            total += (min(above) - max(below)) / float(values.max() - values.min())
        found.append(total)
    return np.array(found)


def spreading_order(costs: FloatArray) -> list[int]:
    ranked = ranks(costs)
    isolation = [0.0] * len(costs)
    for rank in set(ranked):
        members = [i for i, r in enumerate(ranked) if r == rank]
        for i, distance in zip(members, crowding(costs[members]), strict=True):
            isolation[i] = distance
    return sorted(range(len(costs)), key=lambda i: (ranked[i], -isolation[i], i))


def place_of_last(costs: FloatArray, isolation: IsolationRule) -> tuple[int, list[int]]:
    """How many come before the last row, and which rows tie with it: everything ranked anew."""
    ranked = np.array(ranks(costs))
    members = np.flatnonzero(ranked == ranked[-1])
    alone = isolation(costs[members])
    tied = [int(row) for row, value in zip(members[:-1], alone, strict=False) if value == alone[-1]]
    return int((ranked < ranked[-1]).sum() + (alone[:-1] > alone[-1]).sum()), tied


def goes_on(num_before: int, tied: Sequence[bool], num_trials: int, factor: int) -> bool:
    """Whether a trial goes on behind so many, one of whose ties each went on or did not."""
    places = range(num_before, math.ceil(num_trials / factor))
    return len(tied) < len(places) or tied.count(True) < len(places)


@st.composite
def tables(
    draw: st.DrawFn, min_rows: int = 1, max_rows: int = 12, num_objectives: int | None = None
) -> FloatArray:
    """Costs full of ties and duplicates: whole numbers from a small range, 1 to 4 objectives."""
    columns = num_objectives or draw(st.integers(1, 4))
    row = st.lists(st.integers(0, 4), min_size=columns, max_size=columns)
    rows = draw(st.lists(row, min_size=min_rows, max_size=max_rows))
    return np.array(rows, dtype=float).reshape(-1, columns)


def shuffled(count: int, num_objectives: int, seed: int) -> FloatArray:
    """Costs without a tie, in no order; in each column a permutation, spaced unevenly."""
    generator = np.random.default_rng(seed)
    columns = [generator.permutation(count) for _ in range(num_objectives)]
    return np.asarray(np.stack(columns, axis=1) ** 1.5 + 1.0, dtype=np.float64)
