"""The model of learning curves, against textbook formulas written out element by element."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tunebox.decisions import curve_model
from tunebox.decisions.curve_model import NEW, CurveModel, Places, fit, prior_means
from tunebox.pareto.objectives import FloatArray

FLOOR = 2e-3


def made_places(count: int, seed: int = 0, num_features: int = 3) -> Places:
    generator = np.random.default_rng(seed)
    times = generator.choice([0.0, 0.4, 0.7, 1.0], count)
    return Places(generator.random((count, num_features)), times, generator.integers(0, 8, count))


def made_parameters(seed: int = 0) -> FloatArray:
    return prior_means(3) + 0.3 * np.random.default_rng(seed).standard_normal(11)


def covariance(parameters: FloatArray, first: Places, second: Places) -> FloatArray:
    scales, (growth, own, curve) = np.exp(parameters[:3]), np.exp(parameters[3:6])
    variances = np.exp(parameters[6:10])
    found = np.zeros((len(first), len(second)))
    for i in range(len(first)):
        for j in range(len(second)):
            distance = math.dist(first.features[i] / scales, second.features[j] / scales)
            r, gap = math.sqrt(5) * distance, abs(first.times[i] - second.times[j])
            smooth = (1 + r + r * r / 3) * math.exp(-r)
            g, c = math.sqrt(3) * gap / growth, math.sqrt(3) * gap / curve
            same = first.trials[i] == second.trials[j] != NEW
            parts = [
                smooth,
                smooth * (1 + g) * math.exp(-g),
                math.exp(-gap / own) * float(same),
                (1 + c) * math.exp(-c),
            ]
            found[i, j] = float(np.dot(variances, parts))
    return found


def posterior(
    parameters: FloatArray, known: Places, reports: FloatArray, asked: Places
) -> tuple[FloatArray, FloatArray]:
    noise = (math.exp(parameters[-1]) + FLOOR) * np.eye(len(known))
    inverse = np.linalg.inv(covariance(parameters, known, known) + noise)
    across = covariance(parameters, known, asked)
    mean = reports.mean() + across.T @ inverse @ (reports - reports.mean())
    variance = np.diagonal(covariance(parameters, asked, asked) - across.T @ inverse @ across)
    return mean, np.sqrt(variance)


def test_predicts_as_the_textbook_says() -> None:
    parameters, known, asked = made_parameters(), made_places(20), made_places(7, seed=1)
    reports = np.random.default_rng(2).standard_normal(20)
    mean, deviation = CurveModel(parameters, known, reports).predict(asked)
    expected = posterior(parameters, known, reports, asked)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-8)
    np.testing.assert_allclose(deviation, expected[1], rtol=1e-6)


def test_what_is_expected_changes_deviations_as_if_it_had_come_and_no_mean() -> None:
    parameters, asked = made_parameters(), made_places(7, seed=1)
    everything = made_places(25)
    known, coming = everything.rows(np.arange(20)), everything.rows(np.arange(20, 25))
    reports = np.random.default_rng(2).standard_normal(20)
    model = CurveModel(parameters, known, reports)
    before = model.mean(asked)
    model = model.expecting(coming)
    mean, deviation = model.predict(asked)
    np.testing.assert_allclose(mean, before)
    as_if = posterior(parameters, everything, np.zeros(25), asked)
    np.testing.assert_allclose(deviation, as_if[1], rtol=1e-6)


def test_gradient_of_the_fit_is_that_of_differences() -> None:
    parameters, places = made_parameters(3), made_places(25)
    reports, gaps = np.random.default_rng(4).standard_normal(25), curve_model._Gaps(places)
    _, gradient = curve_model._misfit(parameters, gaps, reports)
    steps = 1e-5 * np.eye(len(parameters))
    by_difference = [
        (
            curve_model._misfit(parameters + step, gaps, reports)[0]
            - curve_model._misfit(parameters - step, gaps, reports)[0]
        )
        / 2e-5
        for step in steps
    ]
    np.testing.assert_allclose(gradient, by_difference, rtol=1e-5, atol=1e-6)


def test_fit_finds_the_feature_that_matters_and_the_noise() -> None:
    generator = np.random.default_rng(5)
    places = Places(generator.random((80, 3)), np.ones(80), np.arange(80))
    reports = np.sin(5 * places.features[:, 1]) + 0.3 * generator.standard_normal(80)
    found = fit(places, reports)
    assert found[1] < min(found[0], found[2]) - 0.5
    asked = Places(generator.random((50, 3)), np.ones(50), np.full(50, NEW))
    mean, deviation = CurveModel(found, places, reports).predict(asked)
    error = mean - np.sin(5 * asked.features[:, 1])
    assert np.sqrt((error**2).mean()) < 0.2
    assert np.median(np.abs(error) / deviation) < 2


def test_a_trial_that_is_ahead_is_expected_to_stay_ahead() -> None:
    """Two trials with the same settings; one reports better values at an early epoch."""
    features = np.full((2, 2), 0.5)
    known = Places(features, np.array([0.5, 0.5]), np.array([0, 1]))
    ends = Places(features, np.ones(2), np.array([0, 1]))
    mean, _ = CurveModel(prior_means(2), known, np.array([-1.0, 1.0])).predict(ends)
    assert mean[0] < -0.05 < 0.05 < mean[1]
    assert mean[0] + mean[1] == pytest.approx(0)
