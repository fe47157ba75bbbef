"""What to try next: Optuna's TPE, asked so that it only compares what was measured alike.

A trial that was stopped at epoch 3 has no values at epoch 27, and its values at epoch 3 must not
stand in for them. So there is one Optuna study for each rung, and one for the last epoch: a trial
enters a study with the values that it had at that epoch. The next settings are asked from the
highest study that has enough trials for a model.
"""

import warnings
from collections.abc import Mapping

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState as OptunaState
from optuna.trial import create_trial

from tunebox.pareto.objectives import FloatArray
from tunebox.spec.space import Choice, Distribution, Leaf, Scalar, Space, Values

MIN_TRIALS = 10  # for a model; below this TPE draws at random


class RungSampler:
    """Suggests settings from what trials reported at the same epochs."""

    def __init__(
        self, space: Space, epochs: tuple[int, ...], reference_costs: FloatArray, seed: int
    ) -> None:
        """Start with nothing known.

        Args:
            space: What is searched.
            epochs: The rungs and the last epoch, ascending.
            reference_costs: ``(D,)``, what a failed trial counts as.
            seed: Of every random draw.
        """
        assert epochs == tuple(sorted(epochs))
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._worst = [float(cost) for cost in reference_costs]
        self._studies = {
            epoch: _create_study(len(self._worst), seed + rung) for rung, epoch in enumerate(epochs)
        }
        self._completed = dict.fromkeys(epochs, 0)
        # for each running trial, its number in every study that it has not reported to yet
        self._running: dict[str, dict[int, int]] = {}

    def ask(self, trial_id: str) -> Values:
        """Return settings to try; the trial counts as running in every study."""
        modelled = [epoch for epoch, count in self._completed.items() if count >= MIN_TRIALS]
        asked = max(modelled, default=next(iter(self._studies)))
        trial = self._studies[asked].ask()
        values = self._space.draw(lambda leaf: suggest_value(trial, leaf.path, leaf.distribution))
        numbers = {asked: trial.number}
        for epoch, study in self._studies.items():
            if epoch != asked:  # the sampler spreads running trials, wherever they were asked
                numbers[epoch] = len(study.get_trials(deepcopy=False))
                study.add_trial(self._running_trial(values))
        self._running[trial_id] = numbers
        return values

    def adopt(self, trial_id: str, values: Values) -> None:
        """Count a trial with these settings as running in every study."""
        numbers = {}
        for epoch, study in self._studies.items():
            numbers[epoch] = len(study.get_trials(deepcopy=False))
            study.add_trial(self._running_trial(values))
        self._running[trial_id] = numbers

    def tell(self, trial_id: str, epoch: int, costs: FloatArray) -> None:
        """Take in the costs ``(D,)`` of a trial at ``epoch``; only the studies' epochs count."""
        number = self._running[trial_id].pop(epoch, None)
        if number is not None:
            self._studies[epoch].tell(number, [float(cost) for cost in costs])
            self._completed[epoch] += 1

    def end(self, trial_id: str, failed: bool) -> None:
        """Close a trial where it still counts as running.

        Args:
            trial_id: Of a trial that will report no more.
            failed: Whether it failed or diverged: it then counts with the worst costs that
                matter, so that the sampler keeps away from its settings.
        """
        for epoch, number in self._running.pop(trial_id, {}).items():
            if failed:
                self._studies[epoch].tell(number, self._worst)
                self._completed[epoch] += 1
            else:
                # Without values, and below every trial that has some: a study that knew only those
                # that came this far would suggest again what was stopped on the way.
                self._studies[epoch].tell(number, state=OptunaState.PRUNED)

    def _running_trial(self, values: Mapping[str, Scalar]) -> optuna.trial.FrozenTrial:
        distributions = {
            leaf.path: _distribution(leaf) for leaf in self._space.leaves if leaf.path in values
        }
        return create_trial(
            state=OptunaState.RUNNING, params=dict(values), distributions=distributions
        )


def _create_study(num_objectives: int, seed: int) -> optuna.Study:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # group
        # group: one joint model for each set of leaves that occur together (conditional spaces)
        sampler = optuna.samplers.TPESampler(
            seed=seed,
            multivariate=True,
            group=True,
            constant_liar=True,
            n_startup_trials=MIN_TRIALS,
        )
    return optuna.create_study(directions=["minimize"] * num_objectives, sampler=sampler)


def _distribution(leaf: Leaf) -> BaseDistribution:
    distribution = leaf.distribution
    if isinstance(distribution, Choice):
        return CategoricalDistribution(distribution.options)
    if distribution.integer:
        return IntDistribution(int(distribution.low), int(distribution.high), distribution.log)
    return FloatDistribution(distribution.low, distribution.high, distribution.log)


def suggest_value(trial: optuna.Trial, name: str, distribution: Distribution) -> Scalar:
    """Return what ``trial`` suggests for a leaf, under ``name`` in its study."""
    if isinstance(distribution, Choice):
        return trial.suggest_categorical(name, distribution.options)
    low, high, log = distribution.low, distribution.high, distribution.log
    if distribution.integer:
        return trial.suggest_int(name, int(low), int(high), log=log)
    return trial.suggest_float(name, low, high, log=log)
