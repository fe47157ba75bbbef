"""The samplers to choose from, each set up so that it keeps no state between suggestions.

Every suggestion is drawn by a sampler made for it alone, with a seed of its own. It depends
on the seed of the search, on its number and on the reports, and on nothing that a restart loses.
"""

import warnings
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from tunebox.decisions.trials import TrialState
from tunebox.pareto.objectives import FloatArray
from tunebox.spec.space import Scalar, Values

Reports = Mapping[int, tuple[FloatArray, FloatArray]]  # costs and violations by epoch

MIN_TRIALS = 10  # for a model
_POPULATION = 20  # parents of NSGA-II


class Sampler(Protocol):
    """What suggests settings; see `tunebox.decisions.sampler` and `tunebox.decisions.points`."""

    def ask(self, trial_id: str, given: Mapping[str, Scalar]) -> Values:
        """Return settings for the next trial, those ``given`` as they are; change nothing."""
        ...

    def adopt(self, trial_id: str, values: Values) -> None:
        """Record that the next trial runs with ``values``."""
        ...

    def tell(self, trial_id: str, epoch: int, costs: FloatArray, violations: FloatArray) -> None:
        """Record what a trial reported at ``epoch``."""
        ...

    def end(self, trial_id: str, failed: bool) -> None:
        """Record the end of a trial; ``failed`` if it failed or diverged."""
        ...

    def learn(self, values: Values, reports: Reports, state: TrialState) -> None:
        """Learn from a trial of an earlier search, with its reports by epoch."""
        ...


def seed_of(seed: int, number: int) -> int:
    """Return the seed of suggestion ``number`` of a search with ``seed``, below 2**32."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def optuna_sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """Return Optuna's sampler ``name``: ``tpe`` or ``nsga2``."""
    if name == "nsga2":
        return SteadyStateNsga2(population_size=_POPULATION, seed=seed)
    assert name == "tpe"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed, multivariate=True, constant_liar=True, n_startup_trials=MIN_TRIALS
        )


class SteadyStateNsga2(optuna.samplers.NSGAIISampler):
    """NSGA-II whose parents are the best of all trials so far, one child at a time.

    Optuna's own NSGA-II stores the generation in the trials that it suggested. Here the study of
    a rung also has trials that another study suggested, and a restart would lose the generations.
    """

    def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
        """Return 0, at random, until there are enough trials to be parents; then 1."""
        return int(len(self.get_population(study, 0)) >= MIN_TRIALS)

    def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """Return all trials that have values."""
        return study.get_trials(deepcopy=False, states=(OptunaState.COMPLETE,))

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """Return the best trials: by rank, the last rank by crowding distance."""
        return self.select_parent(study, generation) if generation else []
