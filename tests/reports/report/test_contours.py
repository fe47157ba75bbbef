"""The contours: the smoothing against a sum by hand, and what is drawn of a search."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.records.make_log import make_log
from tests.reports.report.pages import study_of
from tunebox.reports.report import contours
from tunebox.reports.report.contours import smoothed
from tunebox.spec.space import Range


def test_smoothing_is_the_weighted_mean_near_a_place() -> None:
    generator = np.random.default_rng(0)
    places, values = generator.random((30, 2)), generator.random(30)
    grid = smoothed(places, values, 6)
    width = math.sqrt(1 / 12) * 30 ** (-1 / 6)
    for up in range(6):
        for across in range(6):
            weights = [
                math.exp(-((x - across / 5) ** 2 + (y - up / 5) ** 2) / (2 * width**2))
                for x, y in places
            ]
            expected = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
            assert grid[up, across] == pytest.approx(expected)


def test_nothing_is_said_far_from_all_trials() -> None:
    grid = smoothed(np.full((40, 2), 0.1), np.full(40, 3.0), 11)
    assert grid[1, 1] == pytest.approx(3.0)
    assert np.isnan(grid[10, 10])


def test_each_method_has_a_figure_with_its_trials_and_two_of_its_own_settings() -> None:
    study = study_of(make_log(80))
    section = contours.section(study)
    assert section is not None
    assert section.table is not None
    assert [row[0] for row in section.table.rows] == study.methods
    names = {name: path for path, name in study.names.items()}
    ranges = {leaf.path: leaf.distribution for leaf in study.leaves}
    for method, figure in zip(study.methods, section.figures, strict=True):
        trials = [t for t in study.comparable.trials if study.method(t) == method]
        points = figure.data[-1]
        assert points["customdata"] == [study.key(trial) for trial in trials]
        for axis, values in (("xaxis", points["x"]), ("yaxis", points["y"])):
            path = names[figure.layout[axis]["title"]["text"]]
            assert isinstance(ranges[path], Range)
            assert values == pytest.approx([t.settings[path] for t in trials], rel=1e-3)
        best = [view.data["visible"] for view in figure.views]
        assert best == [[True, False, True], [False, True, True]]


def test_few_trials_have_no_contours() -> None:
    assert contours.section(study_of(make_log(15))) is None
