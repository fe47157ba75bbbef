"""A Gaussian process over settings and epochs: what a trial will report at a later epoch.

The covariance of two reports is a sum of four parts, each with a variance and length scales of its
own, and noise on the diagonal:

    setting:  what settings alone do,           Matern 5/2 in the features
    growth:   what they do at an epoch,         Matern 5/2 in the features, 3/2 in the epoch
    own:      what one training has for itself, exponential in the epoch, within a trial only
    curve:    what all trials share,            Matern 3/2 in the epoch

The model of learning curves as a sum of what settings and epochs explain, with trials that can be
continued, follows [Swersky2014]; formulas of Gaussian processes are those of [Rasmussen2006].

[Swersky2014] K. Swersky, J. Snoek, R. P. Adams. Freeze-thaw Bayesian optimization.
    arXiv:1406.3896.
[Rasmussen2006] C. E. Rasmussen, C. K. I. Williams. Gaussian processes for machine learning. MIT
    Press 2006, algorithms 2.1 and 5.1.
"""

import copy
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from tunebox.pareto.objectives import FloatArray

NEW = -1  # the trial of settings that were not tried
_NOISE_FLOOR = 2e-3  # of the variance of scaled reports: below it, repeats would be believed
_MAX_STEPS = 30
_NUM_OTHERS = 8  # parameters that are no length scale of a feature
# Means and deviations of the logarithms of the parameters that are no length scale of a feature:
# the length scales of growth, own and curve, in logarithms of epochs with 1 for all; the variances
# of setting, growth, own and curve; the noise
_OTHER_MEANS = (0.0, 0.0, -0.5, 0.0, -1.0, -2.0, 0.0, -5.0)
_OTHER_DEVIATIONS = (1.0, 0.5, 1.0, 1.0, 1.0, 0.7, 1.0, 1.0)
_SCALE_MEAN, _SCALE_DEVIATION = 0.2, 1.2  # of the length scale of a cube with one feature


@dataclass(frozen=True)
class Places:
    """Where reports are, or will be.

    Attributes:
        features: ``(N, F)``.
        times: ``(N,)``, of the epochs, from 0 for the first to 1 for the last of a training.
        trials: ``(N,)``, numbers of the trials, `NEW` for a trial of its own.
    """

    features: FloatArray
    times: FloatArray
    trials: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.times)

    def rows(self, index: NDArray[np.intp]) -> "Places":
        """Return those at ``index``."""
        return Places(self.features[index], self.times[index], self.trials[index])


def prior_means(num_features: int) -> FloatArray:
    """Return the parameters that are expected without any report, as logarithms.

    Length scales grow with the number of features as the distances in the cube do.
    """
    scale = _SCALE_MEAN + 0.5 * math.log(max(1, num_features))
    return np.array([scale] * num_features + list(_OTHER_MEANS))


def fit(places: Places, reports: FloatArray) -> FloatArray:
    """Return the most likely parameters, as logarithms ``(F + 8,)``.

    Args:
        places: Of ``N`` reports, at least one.
        reports: ``(N,)``, scaled to a deviation of about 1.
    """
    means = prior_means(places.features.shape[1])
    deviations = np.full(len(means), _SCALE_DEVIATION)
    deviations[-_NUM_OTHERS:] = _OTHER_DEVIATIONS
    gaps = _Gaps(places)
    centred = reports - reports.mean()

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        away = (parameters - means) / deviations
        value, gradient = _misfit(parameters, gaps, centred)
        return value + 0.5 * float(away @ away), gradient + away / deviations

    bounds = [(mean - 6 * d, mean + 6 * d) for mean, d in zip(means, deviations, strict=True)]
    found = minimize(
        loss, means, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _MAX_STEPS}
    )
    return np.asarray(found.x if np.isfinite(found.fun) else means, dtype=np.float64)


class CurveModel:
    """Reports as a Gaussian process with known parameters."""

    def __init__(self, parameters: FloatArray, places: Places, reports: FloatArray) -> None:
        """Condition the process on ``reports`` ``(N,)`` at ``places``."""
        self._parameters = parameters
        self._places = places
        self._mean = float(reports.mean())
        self._root = _root(_covariance(parameters, places, places), _noise(parameters))
        self._weights = cho_solve((self._root, True), reports - self._mean, check_finite=False)
        self._expected = Places(places.features[:0], places.times[:0], places.trials[:0])

    @property
    def noise_deviation(self) -> float:
        """The standard deviation of the noise of a report."""
        return math.sqrt(_noise(self._parameters))

    def expecting(self, places: Places) -> "CurveModel":
        """Return the model with reports at ``places`` known to come: they are no news there."""
        if len(places) == 0:
            return self
        across = _covariance(self._parameters, self._places, places)
        within = _covariance(self._parameters, places, places)
        side = solve_triangular(self._root, across, lower=True, check_finite=False)
        corner = _root(within - side.T @ side, _noise(self._parameters))
        above = np.zeros((len(self._root), len(corner)))
        model = copy.copy(self)
        model._root = np.block([[self._root, above], [side.T, corner]])
        model._expected = places
        return model

    def mean(self, places: Places) -> FloatArray:
        """Return the expected reports without noise, ``(M,)``."""
        across = _covariance(self._parameters, self._places, places)
        return np.asarray(self._mean + across.T @ self._weights, dtype=np.float64)

    def predict(self, places: Places) -> tuple[FloatArray, FloatArray]:
        """Return means and standard deviations of reports without noise, each ``(M,)``."""
        across = _covariance(self._parameters, self._places, places)
        mean = self._mean + across.T @ self._weights
        if len(self._expected):
            more = _covariance(self._parameters, self._expected, places)
            across = np.concatenate([across, more])
        known = solve_triangular(self._root, across, lower=True, check_finite=False)
        variance = np.exp(self._parameters[-5:-1]).sum() - (known**2).sum(axis=0)
        return mean, np.sqrt(np.maximum(variance, 1e-8))


class _Gaps:
    """What a fit needs of the places again and again."""

    def __init__(self, places: Places) -> None:
        self.features = places.features
        self.levels, self.index = np.unique(places.times, return_inverse=True)
        self.between = np.abs(self.levels[:, None] - self.levels)  # (T, T)
        self.cells = np.ix_(self.index, self.index)
        self.same = (places.trials[:, None] == places.trials).astype(np.float64)
        self.eye = np.eye(len(places))


def _misfit(parameters: FloatArray, gaps: _Gaps, reports: FloatArray) -> tuple[float, FloatArray]:
    """Return the negative log likelihood without its constant, and its gradient."""
    scales, growth, own, curve = _split(parameters)
    setting_variance, growth_variance, own_variance, curve_variance = np.exp(parameters[-5:-1])
    scaled = gaps.features / scales
    radius = np.sqrt(5 * _squares(scaled, scaled))
    decay = np.exp(-radius)
    by_setting = (1 + radius + radius**2 / 3) * decay
    by_growth, growth_slope = (part[gaps.cells] for part in _rough(gaps.between / growth))
    by_curve, curve_slope = (part[gaps.cells] for part in _rough(gaps.between / curve))
    past = gaps.between / own
    by_own = np.exp(-past)[gaps.cells] * gaps.same
    epochs = setting_variance + growth_variance * by_growth
    covariance = by_setting * epochs + own_variance * by_own + curve_variance * by_curve
    try:
        root = _root(covariance, _noise(parameters))
    except LinAlgError:
        return math.inf, np.zeros_like(parameters)
    weights = cho_solve((root, True), reports, check_finite=False)
    value = 0.5 * float(reports @ weights) + float(np.log(np.diagonal(root)).sum())
    inverse = cho_solve((root, True), gaps.eye, check_finite=False)
    pull = 0.5 * (inverse - np.outer(weights, weights))  # the gradient by the covariance
    slope = pull * epochs * (5 / 3) * (1 + radius) * decay
    sums = slope.sum(axis=1) @ scaled**2 - (scaled * (slope @ scaled)).sum(axis=0)
    others = [
        growth_variance * float((pull * by_setting * growth_slope).sum()),
        own_variance * float((pull * by_own * past[gaps.cells]).sum()),
        curve_variance * float((pull * curve_slope).sum()),
        setting_variance * float((pull * by_setting).sum()),
        growth_variance * float((pull * by_setting * by_growth).sum()),
        own_variance * float((pull * by_own).sum()),
        curve_variance * float((pull * by_curve).sum()),
        math.exp(parameters[-1]) * float(np.trace(pull)),
    ]
    return value, np.concatenate([2 * sums, others])


def _covariance(parameters: FloatArray, first: Places, second: Places) -> FloatArray:
    """Return the covariance ``(N, M)`` of reports without noise."""
    scales, growth, own, curve = _split(parameters)
    setting_variance, growth_variance, own_variance, curve_variance = np.exp(parameters[-5:-1])
    radius = np.sqrt(5 * _squares(first.features / scales, second.features / scales))
    by_setting = (1 + radius + radius**2 / 3) * np.exp(-radius)
    # there are few different epochs: exponentials of these alone
    rows, row = np.unique(first.times, return_inverse=True)
    columns, column = np.unique(second.times, return_inverse=True)
    between, cells = np.abs(rows[:, None] - columns), np.ix_(row, column)
    epochs = setting_variance + growth_variance * _rough(between / growth)[0]
    found = by_setting * epochs[cells] + (curve_variance * _rough(between / curve)[0])[cells]
    same = (first.trials[:, None] == second.trials) & (first.trials != NEW)[:, None]
    if same.any():
        found += np.where(same, (own_variance * np.exp(-between / own))[cells], 0.0)
    return np.asarray(found, dtype=np.float64)


def _split(parameters: FloatArray) -> tuple[FloatArray, float, float, float]:
    """Return the length scales of the features, and those of growth, own and curve."""
    lengths = np.exp(parameters[:-5])
    return lengths[:-3], float(lengths[-3]), float(lengths[-2]), float(lengths[-1])


def _noise(parameters: FloatArray) -> float:
    return math.exp(parameters[-1]) + _NOISE_FLOOR


def _rough(distance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return Matern 3/2 at a scaled distance, and its slope by the logarithm of the scale."""
    radius = math.sqrt(3) * distance
    decay = np.exp(-radius)
    return (1 + radius) * decay, radius**2 * decay


def _squares(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the squared distances ``(N, M)`` of rows."""
    lengths = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)
    return np.asarray(np.maximum(lengths - 2 * first @ second.T, 0.0), dtype=np.float64)


def _root(covariance: FloatArray, noise: float) -> FloatArray:
    """Return the lower Cholesky root of a covariance with noise on its diagonal."""
    noisy = covariance.copy()
    noisy.flat[:: len(noisy) + 1] += noise
    return np.asarray(cholesky(noisy, lower=True, check_finite=False), dtype=np.float64)
