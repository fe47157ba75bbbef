"""Suggests settings by what a Gaussian process expects of them at the end of their training.

Next comes the setting with the largest expected improvement of the hypervolume, as
`tunebox.decisions.report_model` finds it. Every third suggestion is TPE's, which does not share the
model's errors, as are all before there are enough trials for a model: it needs fewer.

Where settings have priors, candidates near their centres are preferred [Hvarfner2022].

Nothing of this is kept between suggestions that a restart could not compute again: each suggestion
has its own seed.

[Hvarfner2022] C. Hvarfner, D. Stoll, A. Souza, M. Lindauer, F. Hutter, L. Nardi. piBO: augmenting
    acquisition functions with user beliefs for Bayesian optimization. ICLR 2022.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tunebox.decisions.cube import Cube
from tunebox.decisions.report_model import Outlook, ReportModel
from tunebox.decisions.sampler import NO_VIOLATIONS, RungSampler
from tunebox.decisions.samplers import Reports, seed_of
from tunebox.decisions.trials import TrialState
from tunebox.pareto.objectives import FloatArray
from tunebox.spec.space import Scalar, Space, Values

FIRST_TRIALS = 16  # with a report, from which on there is a model; until then TPE suggests
MOST_TRIALS = 3000  # with a report, up to which there is a model
_EVERY_TPE = 3  # one suggestion in so many is TPE's
_PRIOR_TRIALS = 10  # after which a prior counts once, and then less
_NUM_CANDIDATES = 600
_NUM_PARENTS = 10
_NUM_ROUNDS, _NUM_BEST, _NUM_CHILDREN = 2, 8, 12  # of the search around the best candidates


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
        first_trials: int = FIRST_TRIALS,
    ) -> None:
        """Start without any trial.

        Args:
            space: What is searched.
            epochs: The rungs and the last epoch, ascending.
            reference_costs: ``(D,)``, the reference point; D from 1 to 4.
            seed: Random seed of every draw.
            num_bounds: Number of bounds in the constraints: each report has a violation of each.
            first_trials: Number of trials with a report from which on there is a model.
        """
        self._tpe = RungSampler(space, epochs, reference_costs, seed, num_bounds=num_bounds)
        self._cube = Cube(space)
        self._model = ReportModel(self._cube, epochs, reference_costs, num_bounds, first_trials)
        self._seed = seed
        self._num_trials = 0
        self._num_changes = 0  # of what a suggestion depends on
        self._found: tuple[object, FloatArray, float] | None = None
        self._known: tuple[int, Outlook] | None = None  # after so many changes
        self._numbers: dict[str, int] = {}  # of the trials of this search, in the model

    def ask(self, trial_id: str, given: Mapping[str, Scalar] | None = None) -> Values:
        """Return settings to try, those ``given`` as they are; nothing changes until `adopt`."""
        if not self.is_modelled or self.is_turn_of_tpe:
            return self._tpe.ask(trial_id, given)
        best, _ = self._best(given or {})
        return self._cube.settings(best, given or {})

    @property
    def is_modelled(self) -> bool:
        """Whether there are enough trials for a model, and not too many."""
        return self._model.is_ready and self._model.num_with_report <= MOST_TRIALS

    @property
    def is_turn_of_tpe(self) -> bool:
        """Whether the next suggestion is TPE's."""
        return self._num_trials % _EVERY_TPE == 0

    @property
    def modelled_epochs(self) -> tuple[int, ...]:
        """The epochs whose reports the model has."""
        return self._model.epochs

    def gain_of_next(self) -> float:
        """Return what the model's next suggestion is expected to gain."""
        return max(0.0, self._best({})[1])

    def gain_of_new(self, values: Values) -> float:
        """Return what a new trial is expected to gain, in the product of the objectives' units."""
        scores = self._model.scores(self._outlook(), self._cube.quantiles(values)[None])
        return max(0.0, float(scores[0]))

    def gains_of(self, trial_ids: Sequence[str]) -> list[float]:
        """Return what each trial is expected to gain by its last epoch over what was reached.

        Args:
            trial_ids: Trials with a report: one at work, or those that rest.
        """
        numbers = [self._numbers[trial_id] for trial_id in trial_ids]
        return [float(gain) for gain in self._model.gains(numbers)]

    def compare(self, trial_id: str, epoch: int, costs: FloatArray) -> None:
        """Compare a report with what was expected of it, before it is told."""
        self._model.compare(self._numbers[trial_id], epoch, costs)

    def pause(self, trial_id: str) -> None:
        """Record that a trial rests."""
        self._num_changes += 1
        self._model.trials[self._numbers[trial_id]].is_running = False

    def go_on(self, trial_id: str) -> None:
        """Record that a trial that rested is at work again."""
        self._num_changes += 1
        self._model.trials[self._numbers[trial_id]].is_running = True

    def adopt(self, trial_id: str, values: Values) -> None:
        """Count a trial with ``values`` as running."""
        self._num_trials += 1
        self._num_changes += 1
        self._tpe.adopt(trial_id, values)
        self._numbers[trial_id] = self._model.start(self._cube.quantiles(values))

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
        self._num_changes += 1
        self._tpe.tell(trial_id, epoch, costs, violations)
        self._model.add(self._numbers[trial_id], epoch, np.concatenate([costs, violations]))

    def end(self, trial_id: str, failed: bool) -> None:
        """Record the end of a trial; one that failed or diverged counts as among the worst."""
        self._num_changes += 1
        self._tpe.end(trial_id, failed)
        number = self._numbers[trial_id]
        self._model.trials[number].is_running = False
        if failed:
            self._model.add_failure(number)

    def learn(self, values: Values, reports: Reports, state: TrialState) -> None:
        """Learn from a trial of an earlier search, which does not count as one of this search."""
        self._tpe.learn(values, reports, state)
        number = self._model.start(self._cube.quantiles(values))
        self._model.trials[number].is_running = False
        for epoch, report in sorted(reports.items()):
            self._model.add(number, epoch, np.concatenate(report))
        if state.has_failed:
            self._model.add_failure(number)

    def _best(self, given: Mapping[str, Scalar]) -> tuple[FloatArray, float]:
        key = (self._num_changes, tuple(sorted(given.items())))
        if self._found is None or self._found[0] != key:
            self._found = key, *self._search(self._outlook(), given)
        return self._found[1:]

    def _outlook(self) -> Outlook:
        if self._known is None or self._known[0] != self._num_changes:
            self._known = self._num_changes, self._model.outlook()
        return self._known[1]

    def _search(self, outlook: Outlook, given: Mapping[str, Scalar]) -> tuple[FloatArray, float]:
        """Return the quantiles and the score of the best of all candidates."""
        generator = np.random.default_rng(seed_of(self._seed, self._num_trials))
        half = _NUM_CANDIDATES // 2
        num_expected = half // 2 if self._cube.has_priors else 0
        parents = self._model.best_trials(outlook, _NUM_PARENTS)
        parents = parents[generator.integers(_NUM_PARENTS, size=half)]
        candidates = np.concatenate(
            [
                self._cube.expected(generator, num_expected, given),
                self._cube.random(generator, half - num_expected, given),
                self._cube.neighbours(generator, parents, (-2.0, -0.5), given),
            ]
        )
        scores = self._scores(outlook, candidates)
        for _ in range(_NUM_ROUNDS):
            best = np.argsort(-scores, kind="stable")[:_NUM_BEST]
            parents = np.repeat(candidates[best], _NUM_CHILDREN, axis=0)
            children = self._cube.neighbours(generator, parents, (-2.3, -0.8), given)
            candidates = np.concatenate([candidates[best], children])
            scores = np.concatenate([scores[best], self._scores(outlook, children)])
        best_one = int(np.argmax(scores))
        return np.asarray(candidates[best_one], dtype=np.float64), float(scores[best_one])

    def _scores(self, outlook: Outlook, quantiles: FloatArray) -> FloatArray:
        """Return what settings would gain, times a power of their prior [Hvarfner2022, eq. 6].

        The power falls with the number of trials, so that a wrong prior is overcome.
        """
        scores = self._model.scores(outlook, quantiles)
        if not self._cube.has_priors:
            return scores
        weight = _PRIOR_TRIALS / max(1, self._num_trials) * self._cube.log_prior(quantiles)
        return np.where(scores > 0, scores * np.exp(weight), scores + weight)
