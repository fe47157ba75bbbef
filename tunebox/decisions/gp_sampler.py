"""Suggests settings by what a Gaussian process expects of them at the end of their training.

Each objective, and each bound of a constraint, has a `CurveModel` over settings and epochs. Next
comes the setting with the largest expected improvement of the hypervolume at the last epoch
[Daulton2021], times the probability that it keeps the constraints; trials at work count as if they
had reported what is expected of them. Every third suggestion is TPE's, which does not share the
model's errors, as are all before there are enough trials for a model: it needs fewer.

Nothing of this is kept between suggestions that a restart could not compute again: the parameters
of a model are fitted to the first so many reports, and each suggestion has its own seed.

[Daulton2021] S. Daulton, M. Balandat, E. Bakshy. Parallel Bayesian optimization of multiple noisy
    objectives with expected hypervolume improvement. NeurIPS 2021.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import qmc

from tunebox.decisions.cube import Cube
from tunebox.decisions.curve_model import NEW, CurveModel, Places, fit
from tunebox.decisions.sampler import NO_VIOLATIONS, RungSampler
from tunebox.decisions.samplers import Reports, seed_of
from tunebox.decisions.scaling import Scaling
from tunebox.decisions.trials import TrialState
from tunebox.pareto.improvement import improvement
from tunebox.pareto.objectives import FloatArray
from tunebox.spec.space import Scalar, Space, Values

FIRST_TRIALS = 16  # with a report, before there is a model; until then TPE suggests
MOST_TRIALS = 3000  # with a report, up to which there is one
_EVERY_TPE = 3  # one suggestion in so many is TPE's
_MOST_REPORTS = 700  # that a model is conditioned on
_MOST_FITTED = 260  # that its parameters are fitted to
_FIT_GROWTH = 1.3  # parameters are fitted anew when there are so many times as many trials
_NUM_CANDIDATES = 600
_NUM_PARENTS = 10
_NUM_ROUNDS, _NUM_BEST, _NUM_CHILDREN = 2, 8, 12  # of the search around the best candidates
_NUM_SAMPLES = 64  # of the values of a candidate
_NO_IMPROVEMENT = 1e4  # puts a candidate below all that improve the front; scaled costs are small

Index = NDArray[np.intp]


@dataclass
class _Trial:
    quantiles: FloatArray  # (L,)
    last: int = 0  # the latest epoch with a report that the model has
    is_running: bool = True
    has_failed: bool = False

    @property
    def has_result(self) -> bool:
        """Whether it has ended as it should, with a report that the model has."""
        return self.last > 0 and not self.is_running and not self.has_failed


@dataclass(frozen=True)
class _Model:
    """The models of one suggestion, and what they are compared with."""

    costs: list[CurveModel]
    scalings: list[Scaling]
    bounds: list[CurveModel]
    front: FloatArray  # (N, D), expected costs of the trials so far and of those at work
    trials: list[int]  # with a report in the models


class GpSampler:
    """Suggests settings from a model of all reports, and in turns from TPE."""

    def __init__(
        self,
        space: Space,
        epochs: tuple[int, ...],
        reference_costs: FloatArray,
        seed: int,
        *,
        num_bounds: int = 0,
    ) -> None:
        """Start without any trial.

        Args:
            space: What is searched.
            epochs: The rungs and the last epoch, ascending.
            reference_costs: ``(D,)``, the reference point; D from 1 to 4.
            seed: Random seed of every draw.
            num_bounds: Number of bounds in the constraints: each report has a violation of each.
        """
        self._tpe = RungSampler(space, epochs, reference_costs, seed, num_bounds=num_bounds)
        self._cube = Cube(space)
        self._reference = reference_costs
        self._num_bounds = num_bounds
        self._seed = seed
        self._last_epoch = epochs[-1]
        self._epochs = modelled_epochs(epochs)
        self._num_trials = 0
        self._trials: list[_Trial] = []  # those of earlier searches too
        self._numbers: dict[str, int] = {}  # of the trials of this search
        # for each report: its trial, its epoch, costs and violations; NaN of a failed trial
        self._trial_of: list[int] = []
        self._epoch_of: list[int] = []
        self._reported: list[FloatArray] = []
        self._with_report = 0  # trials
        self._fit_at = FIRST_TRIALS  # trials with a report
        self._num_fitted = 0  # reports that the parameters are fitted to
        self._fitted: tuple[int, list[FloatArray]] = (0, [])

    def ask(self, trial_id: str, given: Mapping[str, Scalar] | None = None) -> Values:
        """Return settings to try, those ``given`` as they are; nothing changes until `adopt`."""
        number = self._num_trials
        is_modelled = FIRST_TRIALS <= self._with_report <= MOST_TRIALS
        if not is_modelled or number % _EVERY_TPE == 0:
            return self._tpe.ask(trial_id, given)
        generator = np.random.default_rng(seed_of(self._seed, number))
        return self._cube.settings(self._best(generator, given or {}), given or {})

    def adopt(self, trial_id: str, values: Values) -> None:
        """Count a trial with ``values`` as running."""
        self._num_trials += 1
        self._tpe.adopt(trial_id, values)
        self._numbers[trial_id] = len(self._trials)
        self._trials.append(_Trial(self._cube.quantiles(values)))

    def tell(
        self, trial_id: str, epoch: int, costs: FloatArray, violations: FloatArray = NO_VIOLATIONS
    ) -> None:
        """Record what a trial reported; the model has the reports of some epochs.

        Args:
            trial_id: A trial that was adopted.
            epoch: Epochs that it has trained.
            costs: ``(D,)``, finite.
            violations: ``(num_bounds,)``, how far it is beyond each bound of the constraints.
        """
        self._tpe.tell(trial_id, epoch, costs, violations)
        self._add(self._numbers[trial_id], epoch, np.concatenate([costs, violations]))

    def end(self, trial_id: str, failed: bool) -> None:
        """Record the end of a trial; one that failed or diverged counts as among the worst."""
        self._tpe.end(trial_id, failed)
        number = self._numbers[trial_id]
        self._trials[number].is_running = False
        if failed:
            self._add_failure(number)

    def learn(self, values: Values, reports: Reports, state: TrialState) -> None:
        """Learn from a trial of an earlier search, which does not count as one of this search."""
        self._tpe.learn(values, reports, state)
        number = len(self._trials)
        self._trials.append(_Trial(self._cube.quantiles(values), is_running=False))
        for epoch, report in sorted(reports.items()):
            self._add(number, epoch, np.concatenate(report))
        if state.has_failed:
            self._add_failure(number)

    def _add_failure(self, number: int) -> None:
        self._trials[number].has_failed = True
        width = len(self._reference) + self._num_bounds
        self._add(number, self._last_epoch, np.full(width, np.nan))

    def _add(self, number: int, epoch: int, reported: FloatArray) -> None:
        if epoch not in self._epochs:
            return
        trial = self._trials[number]
        self._with_report += trial.last == 0
        trial.last = epoch
        self._trial_of.append(number)
        self._epoch_of.append(epoch)
        self._reported.append(reported)
        if self._with_report >= self._fit_at:
            self._num_fitted = len(self._reported)
            self._fit_at = max(self._with_report + 4, int(self._with_report * _FIT_GROWTH))

    def _best(self, generator: np.random.Generator, given: Mapping[str, Scalar]) -> FloatArray:
        """Return the quantiles of the settings with the largest score of all candidates."""
        model = self._model()
        half = _NUM_CANDIDATES // 2
        parents = self._parents(model)[generator.integers(_NUM_PARENTS, size=half)]
        candidates = np.concatenate(
            [
                self._cube.random(generator, half, given),
                self._cube.neighbours(generator, parents, (-2.0, -0.5), given),
            ]
        )
        scores = self._scores(model, candidates)
        for _ in range(_NUM_ROUNDS):
            best = np.argsort(-scores, kind="stable")[:_NUM_BEST]
            parents = np.repeat(candidates[best], _NUM_CHILDREN, axis=0)
            children = self._cube.neighbours(generator, parents, (-2.3, -0.8), given)
            candidates = np.concatenate([candidates[best], children])
            scores = np.concatenate([scores[best], self._scores(model, children)])
        return np.asarray(candidates[np.argmax(scores)], dtype=np.float64)

    def _model(self) -> _Model:
        """Return the models of all reports, with what is expected of trials at work."""
        index = self._subset(len(self._reported), _MOST_REPORTS)
        places, (targets, scalings) = self._places(index), self._targets(index)
        models = [
            CurveModel(parameters, places, target)
            for parameters, target in zip(self._parameters(), targets, strict=True)
        ]
        costs, bounds = models[: len(self._reference)], models[len(self._reference) :]
        modelled = sorted({self._trial_of[n] for n in index})
        ended = [n for n in modelled if self._trials[n].has_result]
        running = [n for n, trial in enumerate(self._trials) if trial.is_running]
        at_work = self._places_of(running, last=True)
        expected = [
            self._expected(costs, scalings, bounds, self._places_of(ended, last=False)),
            self._expected(costs, scalings, bounds, at_work),
        ]
        for model in models:
            model.expect(at_work)
        return _Model(costs, scalings, bounds, np.concatenate(expected), modelled)

    def _expected(
        self,
        costs: list[CurveModel],
        scalings: list[Scaling],
        bounds: list[CurveModel],
        places: Places,
    ) -> FloatArray:
        """Return the expected costs ``(N, D)`` of what keeps the constraints, as expected."""
        if len(places) == 0:
            return np.zeros((0, len(costs)))
        pairs = zip(costs, scalings, strict=True)
        found = np.stack([scale.back(model.mean(places)) for model, scale in pairs], axis=1)
        keeps = np.ones(len(places), dtype=bool)
        for bound in bounds:
            keeps &= bound.mean(places) <= 0
        return np.asarray(found[keeps], dtype=np.float64)

    def _parents(self, model: _Model) -> FloatArray:
        """Return quantiles ``(10, L)`` of the trials of which the best ends are expected."""
        numbers = model.trials
        places = self._places_of(numbers, last=True)
        means = np.stack([cost.mean(places) for cost in model.costs], axis=1)
        violation = np.zeros(len(numbers))
        for bound in model.bounds:
            violation += np.maximum(bound.mean(places), 0.0)
        dominators = (means[:, None] > means[None]).all(axis=2).sum(axis=1)
        best = np.lexsort((dominators, violation))
        return np.stack([self._trials[numbers[n]].quantiles for n in np.resize(best, _NUM_PARENTS)])

    def _scores(self, model: _Model, quantiles: FloatArray) -> FloatArray:
        """Return the expected improvement of the hypervolume by each candidate, ``(N,)``.

        Where none is expected at all, a score is negative and the better the lower the costs are.
        """
        count = len(quantiles)
        places = Places(self._cube.features(quantiles), np.ones(count), np.full(count, NEW))
        predicted = [cost.predict(places) for cost in model.costs]
        samples = np.stack(
            [
                scaling.back(mean[:, None] + deviation[:, None] * normal)
                for scaling, (mean, deviation), normal in zip(
                    model.scalings, predicted, _normals(len(predicted)), strict=True
                )
            ],
            axis=-1,
        )
        scores = improvement(samples, model.front, self._reference).mean(axis=1)
        fallback = -sum(mean - deviation for mean, deviation in predicted)
        for bound in model.bounds:
            mean, deviation = bound.predict(places)
            scores = scores * ndtr(-mean / deviation)
            fallback = fallback - np.maximum(mean - deviation, 0.0)
        return np.where(scores > 0, scores, fallback - _NO_IMPROVEMENT)

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

    def _places_of(self, numbers: list[int], last: bool) -> Places:
        """Return the places of trials at the last epoch of all, or at their own latest report."""
        epochs = [self._last_epoch if last else self._trials[n].last for n in numbers]
        trials = np.array(numbers, dtype=np.intp)
        return Places(self._features(trials), np.array([self._time(e) for e in epochs]), trials)

    def _features(self, numbers: Index) -> FloatArray:
        if len(numbers) == 0:
            return np.zeros((0, self._cube.num_features))
        quantiles = np.stack([self._trials[n].quantiles for n in numbers])
        return self._cube.features(quantiles)

    def _time(self, epoch: int) -> float:
        return math.log(epoch) / math.log(self._last_epoch) if self._last_epoch > 1 else 1.0


def modelled_epochs(epochs: tuple[int, ...]) -> tuple[int, ...]:
    """Return the epochs whose reports the model has: the rungs, three quarters, and the last.

    With earlier epochs, suggestions took twice the time and were no better.

    Args:
        epochs: The rungs and the last epoch, ascending.
    """
    last = epochs[-1]
    return tuple(sorted({*epochs, max(1, round(0.75 * last))}))


def _normals(num_objectives: int) -> FloatArray:
    """Return ``(D, 64)`` normal variates that are spread evenly."""
    points = qmc.Sobol(num_objectives, seed=np.random.default_rng(0)).random(_NUM_SAMPLES)
    return np.asarray(ndtri(points * 0.998 + 0.001).T, dtype=np.float64)
