"""Gaussian processes of all reports of a search: expected ends of trials, and what they would gain.

Each objective, and each bound of a constraint, has a `CurveModel` over settings and epochs. What a
training would gain is the expected improvement of the hypervolume by its report at the last epoch
[Daulton2021], times the probability that it keeps the constraints; trials at work count as if they
had reported what is expected of them.

Everything follows from the reports: the parameters of a model are fitted to the first so many of
them, so that a restart computes the same again.

[Daulton2021] S. Daulton, M. Balandat, E. Bakshy. Parallel Bayesian optimization of multiple noisy
    objectives with expected hypervolume improvement. NeurIPS 2021.
[Lei2018] J. Lei, M. G'Sell, A. Rinaldo, R. J. Tibshirani, L. Wasserman. Distribution-free
    predictive inference for regression. JASA 113(523), 2018, algorithm 2.
"""

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import qmc

from tunebox.decisions.cube import Cube
from tunebox.decisions.curve_model import NEW, CurveModel, Places, fit
from tunebox.decisions.scaling import Scaling
from tunebox.pareto.improvement import improvement
from tunebox.pareto.objectives import FloatArray

_MOST_REPORTS = 700  # that a model is conditioned on
_MOST_FITTED = 260  # that its parameters are fitted to
_FIT_GROWTH = 1.3  # parameters are fitted anew when there are so many times as many trials
_NUM_SAMPLES = 64  # of the values of a candidate
_NUM_SAMPLES_OF_ONE = 512  # of a trial: a small chance of a gain counts
_COVERAGE, _MIN_MISSES, _MOST_WIDENING = 0.9, 10, 4.0  # of the intervals of trials' ends
_NO_IMPROVEMENT = 1e4  # puts a candidate below all that improve the front; scaled costs are small

Index = NDArray[np.intp]


@dataclass
class ModelledTrial:
    """A trial, of this search or of an earlier one.

    Attributes:
        quantiles: Its settings in the cube, ``(L,)``.
        last: The latest epoch with a report that the model has, 0 before one.
        is_running: Whether it is at work.
        has_failed: Whether it failed or diverged.
    """

    quantiles: FloatArray
    last: int = 0
    is_running: bool = True
    has_failed: bool = False

    @property
    def has_result(self) -> bool:
        """Whether it rests or has ended as it should, with a report that the model has."""
        return self.last > 0 and not self.is_running and not self.has_failed


@dataclass(frozen=True)
class Outlook:
    """What the models expect at one moment of the search.

    Attributes:
        costs: A model of each objective.
        scalings: The scale of each objective in its model.
        bounds: A model of each bound of the constraints.
        front: ``(N, D)``, expected costs of the trials so far and of those at work.
        trials: Numbers of the trials with a report in the models.
    """

    costs: list[CurveModel]
    scalings: list[Scaling]
    bounds: list[CurveModel]
    front: FloatArray
    trials: list[int]


_Predictions = tuple[list[tuple[FloatArray, FloatArray]], list[tuple[FloatArray, FloatArray]]]


class ReportModel:
    """The reports of a search, and what they let one expect."""

    def __init__(
        self,
        cube: Cube,
        epochs: tuple[int, ...],
        reference_costs: FloatArray,
        num_bounds: int,
        first_trials: int,
    ) -> None:
        """Start without any trial.

        Args:
            cube: The settings as points.
            epochs: The rungs and the last epoch, ascending.
            reference_costs: ``(D,)``, the reference point; D from 1 to 4.
            num_bounds: Number of bounds in the constraints: each report has a violation of each.
            first_trials: Number of trials with a report from which on there is a model.
        """
        self._first_trials = first_trials
        self.epochs = modelled_epochs(epochs)
        self.trials: list[ModelledTrial] = []
        self.num_with_report = 0  # trials
        self._cube = cube
        self._reference = reference_costs
        self._num_bounds = num_bounds
        self._last_epoch = epochs[-1]
        # for each report: its trial, its epoch, costs and violations; NaN of a failed trial
        self._trial_of: list[int] = []
        self._epoch_of: list[int] = []
        self._reported: list[FloatArray] = []
        self._misses: list[FloatArray] = []  # (D,) each, in deviations
        self._fit_at = first_trials  # trials with a report
        self._num_fitted = 0  # reports that the parameters are fitted to
        self._fitted: tuple[int, list[FloatArray]] = (0, [])
        self._known: tuple[int, Outlook] | None = None  # of so many reports, without a front

    @property
    def is_ready(self) -> bool:
        """Whether there are enough trials for a model."""
        return self.num_with_report >= self._first_trials

    def start(self, quantiles: FloatArray) -> int:
        """Count a trial with the settings ``quantiles`` ``(L,)`` as running; return its number."""
        self.trials.append(ModelledTrial(quantiles))
        return len(self.trials) - 1

    def add(self, number: int, epoch: int, reported: FloatArray) -> None:
        """Record costs and violations ``(D + bounds,)``; the model has those of some epochs."""
        if epoch not in self.epochs:
            return
        trial = self.trials[number]
        self.num_with_report += trial.last == 0
        trial.last = epoch
        self._trial_of.append(number)
        self._epoch_of.append(epoch)
        self._reported.append(reported)
        if self.num_with_report >= self._fit_at:
            self._num_fitted = len(self._reported)
            self._fit_at = max(self.num_with_report + 4, int(self.num_with_report * _FIT_GROWTH))

    def add_failure(self, number: int) -> None:
        """Record that a trial failed or diverged: it counts as among the worst."""
        self.trials[number].has_failed = True
        width = len(self._reference) + self._num_bounds
        self.add(number, self._last_epoch, np.full(width, np.nan))

    def outlook(self, but: Iterable[int] = ()) -> Outlook:
        """Return what is expected, with the ends of trials at work as known.

        Args:
            but: Trials at work that count only with what they have reported.
        """
        known = self._without_expectations()
        left_out = set(but)
        at_rest = [n for n in known.trials if self.trials[n].has_result or n in left_out]
        running = [n for n, trial in enumerate(self.trials) if trial.is_running]
        at_work = self.places_of([n for n in running if n not in left_out], last=True)
        expected = [
            self._expected(known, self.places_of(at_rest, last=False)),
            self._expected(known, at_work),
        ]
        return Outlook(
            [model.expecting(at_work) for model in known.costs],
            known.scalings,
            [model.expecting(at_work) for model in known.bounds],
            np.concatenate(expected),
            known.trials,
        )

    def gains(self, numbers: list[int]) -> FloatArray:
        """Return by how much the last report of each trial is expected to improve the hypervolume.

        That is over what the trials have reached already. Deviations are as `widening` says.

        Args:
            numbers: ``N`` trials with a report; of those at work no ends are expected.

        Returns:
            ``(N,)``, >= 0 in the product of the objectives' units.
        """
        outlook = self.outlook(but=numbers)
        costs, bounds = _predictions(outlook, self.places_of(numbers, last=True))
        widened = [
            (mean, factor * deviation)
            for (mean, deviation), factor in zip(costs, self.widening(), strict=True)
        ]
        return self._gains(outlook, (widened, bounds), _NUM_SAMPLES_OF_ONE)

    def compare(self, number: int, epoch: int, costs: FloatArray) -> None:
        """Compare a report, before it is added, with what the model expects of a trial it knows."""
        trial = self.trials[number]
        if not self.is_ready or trial.last == 0 or epoch not in self.epochs:
            return
        known = self._without_expectations()
        numbers = np.array([number], dtype=np.intp)
        places = Places(self._features(numbers), np.array([self._time(epoch)]), numbers)
        misses = []
        for model, scaling, cost in zip(known.costs, known.scalings, costs, strict=True):
            mean, deviation = model.predict(places)
            away = float(scaling(np.array([cost]))[0] - mean[0])
            misses.append(abs(away) / math.hypot(float(deviation[0]), model.noise_deviation))
        self._misses.append(np.array(misses))

    def widening(self) -> FloatArray:
        """Return factors ``(D,)`` >= 1 by which deviations of a trial's end are too small.

        With them, nine of ten reports of trials that went on would have been within the interval
        in which nine of ten normal values are: split conformal prediction [Lei2018] of what the
        search itself has seen. 1 without enough reports.
        """
        count = len(self._misses)
        if count < _MIN_MISSES:
            return np.ones(len(self._reference))
        level = min(1.0, math.ceil((count + 1) * _COVERAGE) / count)
        reached = np.quantile(np.stack(self._misses), level, axis=0, method="higher")
        return np.clip(reached / float(ndtri((1 + _COVERAGE) / 2)), 1.0, _MOST_WIDENING)

    def scores(self, outlook: Outlook, quantiles: FloatArray) -> FloatArray:
        """Return what settings would gain if they were tried, ``(N,)``.

        Where nothing is to be gained, a score is negative and the better the lower the costs are.
        """
        predictions = _predictions(outlook, self._new_places(quantiles))
        fallback = np.zeros(len(quantiles))
        for mean, deviation in predictions[0]:
            fallback -= mean - deviation
        for mean, deviation in predictions[1]:
            fallback -= np.maximum(mean - deviation, 0.0)
        gains = self._gains(outlook, predictions)
        return np.where(gains > 0, gains, fallback - _NO_IMPROVEMENT)

    def best_trials(self, outlook: Outlook, count: int) -> FloatArray:
        """Return quantiles ``(count, L)`` of the trials of which the best ends are expected."""
        numbers = outlook.trials
        places = self.places_of(numbers, last=True)
        means = np.stack([cost.mean(places) for cost in outlook.costs], axis=1)
        violation = np.zeros(len(numbers))
        for bound in outlook.bounds:
            violation += np.maximum(bound.mean(places), 0.0)
        dominators = (means[:, None] > means[None]).all(axis=2).sum(axis=1)
        best = np.lexsort((dominators, violation))
        return np.stack([self.trials[numbers[n]].quantiles for n in np.resize(best, count)])

    def places_of(self, numbers: list[int], last: bool) -> Places:
        """Return the places of trials at the last epoch of all, or at their own latest report."""
        epochs = [self._last_epoch if last else self.trials[n].last for n in numbers]
        trials = np.array(numbers, dtype=np.intp)
        return Places(self._features(trials), np.array([self._time(e) for e in epochs]), trials)

    def _gains(
        self, outlook: Outlook, predictions: _Predictions, num_samples: int = _NUM_SAMPLES
    ) -> FloatArray:
        of_costs, of_bounds = predictions
        samples = np.stack(
            [
                scaling.back(mean[:, None] + deviation[:, None] * normal)
                for scaling, (mean, deviation), normal in zip(
                    outlook.scalings, of_costs, _normals(len(of_costs), num_samples), strict=True
                )
            ],
            axis=-1,
        )
        gains = improvement(samples, outlook.front, self._reference).mean(axis=1)
        for mean, deviation in of_bounds:
            gains = gains * ndtr(-mean / deviation)
        return np.asarray(gains, dtype=np.float64)

    def _without_expectations(self) -> Outlook:
        """Return the models of all reports; they are kept until there is another report."""
        if self._known is None or self._known[0] != len(self._reported):
            index = self._subset(len(self._reported), _MOST_REPORTS)
            places, (targets, scalings) = self._places(index), self._targets(index)
            models = [
                CurveModel(parameters, places, target)
                for parameters, target in zip(self._parameters(), targets, strict=True)
            ]
            num_costs = len(self._reference)
            front = np.zeros((0, num_costs))
            numbers = sorted({self._trial_of[n] for n in index})
            outlook = Outlook(models[:num_costs], scalings, models[num_costs:], front, numbers)
            self._known = len(self._reported), outlook
        return self._known[1]

    def _expected(self, outlook: Outlook, places: Places) -> FloatArray:
        """Return the expected costs ``(N, D)`` of what keeps the constraints, as expected."""
        if len(places) == 0:
            return np.zeros((0, len(outlook.costs)))
        pairs = zip(outlook.costs, outlook.scalings, strict=True)
        found = np.stack([scale.back(model.mean(places)) for model, scale in pairs], axis=1)
        keeps = np.ones(len(places), dtype=bool)
        for bound in outlook.bounds:
            keeps &= bound.mean(places) <= 0
        return np.asarray(found[keeps], dtype=np.float64)

    def _parameters(self) -> list[FloatArray]:
        """Return the parameters of each model, fitted to the reports that are set for it."""
        if self._fitted[0] != self._num_fitted:
            index = self._subset(self._num_fitted, _MOST_FITTED)
            places, (targets, _) = self._places(index), self._targets(index)
            self._fitted = self._num_fitted, [fit(places, target) for target in targets]
        return self._fitted[1]

    def _targets(self, index: Index) -> tuple[list[FloatArray], list[Scaling]]:
        """Return scaled reports for each model, and the scalings of the objectives."""
        reported = np.stack([self._reported[n] for n in index])
        worst = np.max(np.where(np.isnan(reported), -np.inf, reported), axis=0)
        num_objectives = len(self._reference)
        worst[:num_objectives] = np.maximum(worst[:num_objectives], self._reference)
        worst[num_objectives:] = np.maximum(worst[num_objectives:], 1.0)
        reported = np.where(np.isnan(reported), worst, reported)
        scalings = [Scaling.of(column) for column in reported[:, :num_objectives].T]
        targets = [
            scaling(column)
            for scaling, column in zip(scalings, reported[:, :num_objectives].T, strict=True)
        ]
        for column in reported[:, num_objectives:].T:
            unit = float(np.median(np.abs(column))) or 1.0
            targets.append(np.sign(column) * np.log1p(np.abs(column) / unit))
        return targets, scalings

    def _subset(self, count: int, most: int) -> Index:
        """Return which of the first ``count`` reports to use, at most ``most``, ascending.

        Up to half of them are the best in some objective or in all on average, by rank. The others
        are spread over the search.
        """
        if count <= most:
            return np.arange(count)
        reported = np.stack(self._reported[:count])[:, : len(self._reference)]
        ranks = np.argsort(np.argsort(np.nan_to_num(reported, nan=np.inf), axis=0), axis=0)
        best = np.union1d(
            np.argsort(ranks.min(axis=1), kind="stable")[: most // 4],
            np.argsort(ranks.mean(axis=1), kind="stable")[: most // 4],
        )
        others = np.setdiff1d(np.arange(count), best)
        spread = np.linspace(0, len(others) - 1, most - len(best)).round().astype(np.intp)
        return np.union1d(best, others[spread])

    def _places(self, index: Index) -> Places:
        numbers = np.array([self._trial_of[n] for n in index])
        times = np.array([self._time(self._epoch_of[n]) for n in index])
        return Places(self._features(numbers), times, numbers)

    def _new_places(self, quantiles: FloatArray) -> Places:
        """Return the places of settings that were not tried, at the last epoch."""
        count = len(quantiles)
        return Places(self._cube.features(quantiles), np.ones(count), np.full(count, NEW))

    def _features(self, numbers: Index) -> FloatArray:
        if len(numbers) == 0:
            return np.zeros((0, self._cube.num_features))
        quantiles = np.stack([self.trials[n].quantiles for n in numbers])
        return self._cube.features(quantiles)

    def _time(self, epoch: int) -> float:
        return math.log(epoch) / math.log(self._last_epoch) if self._last_epoch > 1 else 1.0


def _predictions(outlook: Outlook, places: Places) -> _Predictions:
    """Return means and deviations, each ``(N,)``, of all costs and of all bounds at places."""
    costs = [model.predict(places) for model in outlook.costs]
    return costs, [model.predict(places) for model in outlook.bounds]


def modelled_epochs(epochs: tuple[int, ...]) -> tuple[int, ...]:
    """Return the epochs whose reports the model has: the rungs, three quarters, and the last.

    With earlier epochs, suggestions took twice the time and were no better.

    Args:
        epochs: The rungs and the last epoch, ascending.
    """
    last = epochs[-1]
    return tuple(sorted({*epochs, max(1, round(0.75 * last))}))


@functools.lru_cache(maxsize=8)
def _normals(num_objectives: int, count: int) -> FloatArray:
    """Return ``(D, count)`` normal variates that are spread evenly."""
    points = qmc.Sobol(num_objectives, seed=np.random.default_rng(0)).random(count)
    return np.asarray(ndtri(points * 0.998 + 0.001).T, dtype=np.float64)
