"""Ranks of searches over several problems, with a test of whether they differ.

The test is Friedman's over the problems, with Nemenyi's critical difference of two average ranks
[Demsar2006, section 3.2.2].

[Demsar2006] J. Demsar. Statistical comparisons of classifiers over multiple data sets. JMLR 7,
    2006.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from tunebox.pareto.objectives import FloatArray

LEVEL = 0.05


@dataclass(frozen=True)
class Ranks:
    """Average ranks of k methods.

    Attributes:
        averages: ``(k,)``, from 1 for a method that is the best on every problem.
        p_value: Of Friedman's test that all methods are equally good.
        critical_difference: Of two average ranks, at the level of 5 %.
    """

    averages: FloatArray
    p_value: float
    critical_difference: float


def ranks(scores: FloatArray) -> Ranks:
    """Return the ranks of methods by their scores; equal ones share their mean rank.

    Args:
        scores: ``(N, k)``, of ``k`` methods, at least 3, on ``N`` problems, at least 3; larger is
            better.
    """
    num_problems, num_methods = scores.shape
    averages = rankdata(-scores, axis=1).mean(axis=0)
    is_level = bool((scores == scores[:, :1]).all())
    p_value = 1.0 if is_level else float(friedmanchisquare(*scores.T).pvalue)
    quantile = float(studentized_range.ppf(1 - LEVEL, num_methods, math.inf)) / math.sqrt(2)
    spread = math.sqrt(num_methods * (num_methods + 1) / (6 * num_problems))
    return Ranks(np.asarray(averages, dtype=np.float64), p_value, quantile * spread)


def describe(ends: Sequence[Mapping[str, float]]) -> list[str]:
    """Return lines about the ranks of methods by what each reached at its end.

    Args:
        ends: For each problem a number for each method; larger is better. Empty for fewer than
            three problems or three methods.
    """
    names = list(ends[0]) if ends else []
    if len(ends) < 3 or len(names) < 3:
        return []
    found = ranks(np.array([[end[name] for name in names] for end in ends]))
    order = np.argsort(found.averages, kind="stable")
    return [
        f"average rank at the end over {len(ends)} problems (Friedman p {found.p_value:.2g}; two",
        f"methods differ at 5 % if their ranks do by {found.critical_difference:.2f}, Nemenyi):",
        *(f"  {found.averages[index]:.2f}  {names[index]}" for index in order),
    ]
