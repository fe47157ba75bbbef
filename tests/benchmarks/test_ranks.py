"""Average ranks and their critical difference, against numbers by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.ranks import describe, ranks


def test_ranks_are_averaged_and_equal_scores_share_theirs() -> None:
    found = ranks(np.array([[3, 2, 1], [3, 2, 1], [3, 1, 2], [2, 2, 1]], dtype=np.float64))
    # ranks 1 2 3, 1 2 3, 1 3 2, 1.5 1.5 3
    assert found.averages.tolist() == [1.125, 2.125, 2.75]
    # the table of critical values has 2.343 for three methods
    assert found.critical_difference == pytest.approx(2.343 * math.sqrt(0.5), abs=1e-3)


def test_friedman_of_one_order_on_all_problems() -> None:
    found = ranks(np.array([[0.3, 0.2, 0.1]] * 4))
    # chi-square 12 N / (k (k + 1)) * (1 + 4 + 9 - k (k + 1)^2 / 4) = 8, of 2 degrees of freedom
    assert found.p_value == pytest.approx(math.exp(-4))


def test_lines_have_the_best_first_and_need_three_problems() -> None:
    ends = [{"a": 0.1, "b": 0.9, "c": 0.5}] * 3
    *_, first, second, third = describe(ends)
    assert [first, second, third] == ["  1.00  b", "  2.00  c", "  3.00  a"]
    assert describe(ends[:2]) == []
    assert describe([]) == []


def test_methods_that_are_level_do_not_differ() -> None:
    assert ranks(np.full((4, 3), 0.5)).p_value == 1.0
