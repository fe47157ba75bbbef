from __future__ import annotations

import numpy as np
import pytest

from tunebox.decisions.scaling import Scaling

SKEWED = np.concatenate([np.linspace(-1, 0, 11), [5.0, 1e3, 1e9]])


def test_keeps_the_order_and_comes_back() -> None:
    scaling = Scaling.of(SKEWED)
    scaled = scaling(SKEWED)
    assert (np.diff(scaled) > 0).all()
    np.testing.assert_allclose(scaling.back(scaled), SKEWED, rtol=1e-9, atol=1e-9)
    assert scaled.max() < 30


@pytest.mark.parametrize("costs", [[3.0], [0.0, 0.0], [1.0] * 20 + [2.0], [0.0] * 20 + [-1.0]])
def test_costs_that_hardly_differ_have_a_scale(costs: list[float]) -> None:
    scaled = Scaling.of(np.array(costs))(np.array(costs))
    assert np.isfinite(scaled).all()
    assert np.abs(scaled).max() < 10
