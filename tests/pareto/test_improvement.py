from __future__ import annotations

import numpy as np
import pytest

from tunebox.pareto.hypervolume import hypervolume
from tunebox.pareto.improvement import improvement

SCALES = np.array([1.0, 1e6, 1e-3, 20.0])


@pytest.mark.parametrize(("num_objectives", "tolerance"), [(1, 0), (2, 0), (3, 0.1), (4, 0.1)])
def test_is_what_a_point_adds_to_the_hypervolume(num_objectives: int, tolerance: float) -> None:
    """Directions are an estimate, whose error is a share of the largest improvement."""
    generator = np.random.default_rng(num_objectives)
    scales = SCALES[:num_objectives]
    front = generator.random((12, num_objectives)) * scales
    costs = generator.random((40, num_objectives)) * scales
    reference = 0.9 * scales
    known = hypervolume(front, reference)
    expected = [hypervolume(np.vstack([front, point]), reference) - known for point in costs]
    unit = max(expected)
    found = improvement(costs, front, reference)
    assert np.abs(found - expected).max() <= (tolerance + 1e-12) * unit
    assert ((found > 0) == (np.array(expected) > 0)).all() or tolerance


@pytest.mark.parametrize("num_objectives", [1, 2, 3])
def test_without_a_front_it_is_the_box_below_the_reference(num_objectives: int) -> None:
    costs = np.full((2, 1, num_objectives), 0.5)
    costs[1] = 2.0  # beyond the reference
    found = improvement(costs, np.zeros((0, num_objectives)), np.ones(num_objectives))
    assert found.shape == (2, 1)
    assert found[0, 0] == pytest.approx(0.5**num_objectives, rel=0.02)
    assert found[1, 0] == 0


def test_dominated_points_of_the_front_do_not_count() -> None:
    front = np.array([[0.2, 0.6], [0.3, 0.7], [0.6, 0.2], [2.0, -1.0]])
    found = improvement(np.array([[0.4, 0.4]]), front, np.ones(2))
    assert found == pytest.approx([0.2 * 0.2])
