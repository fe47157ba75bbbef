"""What to try next: an Optuna sampler, asked so that it only compares what was measured alike.

A trial that was stopped at epoch 3 has no values at epoch 27, and its values at epoch 3 must not
stand in for them. So there is one Optuna study for each rung, and one for the last epoch: a trial
enters a study with the values that it had at that epoch. The next settings are asked from the
highest study that has enough trials for a model; before there is one, they are spread evenly.
"""

from collections.abc import Mapping

import numpy as np
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
from tunebox.search.points import PointSampler
from tunebox.search.samplers import MIN_TRIALS, Reports, optuna_sampler, seed_of
from tunebox.spec.sample import value_at
from tunebox.spec.space import Choice, Distribution, Leaf, Scalar, Space, Values
from tunebox.trials import TrialState

_Group = tuple[tuple[str, str], ...]  # the branches that lead to a leaf
NO_EXCESSES: FloatArray = np.zeros(0)
MAX_STOPPED = 500  # trials without values that a study takes in one and all


class RungSampler:
    """Suggests settings from what trials reported at the same epochs."""

    def __init__(
        self,
        space: Space,
        epochs: tuple[int, ...],
        reference_costs: FloatArray,
        seed: int,
        *,
        name: str = "tpe",
        num_bounds: int = 0,
    ) -> None:
        """Start with nothing known.

        Args:
            space: What is searched.
            epochs: The rungs and the last epoch, ascending.
            reference_costs: ``(D,)``, what a failed trial counts as, or worse if others are.
            seed: Of every random draw.
            name: ``tpe``, ``nsga2`` or ``gp``.
            num_bounds: Of the constraints: so many excesses come with each report.
        """
        assert epochs == tuple(sorted(epochs))
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._name = name
        self._seed = seed
        self._num_trials = 0
        self._first = PointSampler("qmc", space, seed)  # evenly, until there is a model
        self._storage = optuna.storages.InMemoryStorage()
        num_objectives = len(reference_costs)
        self._studies = {epoch: self._create_study(epoch, num_objectives) for epoch in epochs}
        self._study_ids = {
            epoch: self._storage.get_study_id_from_name(study.study_name)
            for epoch, study in self._studies.items()
        }
        self._completed = dict.fromkeys(epochs, 0)
        self._stopped = dict.fromkeys(epochs, 0)
        # what a failed trial counts as: no better than any that has values
        self._worst = {epoch: np.array(reference_costs, dtype=float) for epoch in epochs}
        # what a trial without values is beyond each bound: as far as any trial was, at least 1
        self._worst_excesses = {epoch: np.ones(num_bounds) for epoch in epochs}
        # for each running trial, its number in the storage, in every study not reported to yet
        self._running: dict[str, dict[int, int]] = {}
        self._distributions = {leaf.path: _distribution(leaf) for leaf in space.leaves}

    def _create_study(self, epoch: int, num_objectives: int) -> optuna.Study:
        return optuna.create_study(
            storage=self._storage,
            study_name=f"epoch {epoch}",
            directions=["minimize"] * num_objectives,
            sampler=optuna.samplers.RandomSampler(seed=0),  # never draws: see _draw
        )

    @property
    def num_completed(self) -> dict[int, int]:
        """How many trials have values at each epoch."""
        return dict(self._completed)

    def ask(self, trial_id: str, given: Mapping[str, Scalar] | None = None) -> Values:
        """Return settings to try, those ``given`` as they are; the trial then runs everywhere."""
        modelled = [epoch for epoch, count in self._completed.items() if count >= MIN_TRIALS]
        if not modelled:
            values = self._first.settings(self._num_trials, given or {})
            self.adopt(trial_id, values)
            return values
        study = self._studies[max(modelled)]
        # Only there to ask for: what a sampler notes in a trial that it was asked for makes it
        # another one than the same trial taken over, so it does not stay.
        question = study.ask()
        values = self._draw(study, question.number, given or {})
        study.tell(question, state=OptunaState.FAIL)
        self.adopt(trial_id, values)
        return values

    def adopt(self, trial_id: str, values: Values) -> None:
        """Count a trial with ``values`` as running in every study."""
        self._num_trials += 1
        params = self._params(values)
        self._running[trial_id] = {
            epoch: self._add(epoch, params, OptunaState.RUNNING) for epoch in self._studies
        }

    def tell(
        self, trial_id: str, epoch: int, costs: FloatArray, excesses: FloatArray = NO_EXCESSES
    ) -> None:
        """Take in what a trial reported at ``epoch``; only the studies' epochs count.

        Args:
            trial_id: Of a trial that was asked for or adopted.
            epoch: Epochs that it has trained.
            costs: ``(D,)``, finite.
            excesses: ``(num_bounds,)``, how far it is beyond each bound of the constraints.
        """
        number = self._running[trial_id].pop(epoch, None)
        if number is not None:
            self._measured(epoch, number, costs, excesses)

    def end(self, trial_id: str, failed: bool) -> None:
        """Close a trial where it still counts as running.

        Args:
            trial_id: Of a trial that will report no more.
            failed: Whether it failed or diverged: it then counts with the worst costs that
                matter, so that the sampler keeps away from its settings.
        """
        for epoch, number in self._running.pop(trial_id, {}).items():
            self._close(epoch, number, failed)

    def learn(self, values: Values, reports: Reports, state: TrialState) -> None:
        """Take in a trial of an earlier search; it is none of this one.

        Args:
            values: Its settings.
            reports: Costs and excesses by epoch.
            state: How it ended. Above the epochs that it has, one that was stopped or diverged
                counts as such, and one that finished says nothing.
        """
        params = self._params(values)
        for epoch in self._studies:
            if epoch in reports:
                number = self._add(epoch, params, OptunaState.RUNNING)
                self._measured(epoch, number, *reports[epoch])
            elif state is not TrialState.FINISHED and epoch > max(reports, default=0):
                number = self._add(epoch, params, OptunaState.RUNNING)
                self._close(epoch, number, failed=state is not TrialState.STOPPED)

    def _draw(self, study: optuna.Study, number: int, given: Mapping[str, Scalar]) -> Values:
        """Return settings as ``study`` suggests them for its trial ``number``."""
        sampler = optuna_sampler(self._name, seed_of(self._seed, self._num_trials))
        trial = study.get_trials(deepcopy=False)[number]
        drawn: dict[_Group, dict[str, Scalar]] = {}

        def pick(leaf: Leaf) -> Scalar:
            distribution = self._distributions[leaf.path]
            if leaf.path in given:
                return given[leaf.path]
            if distribution.single():
                return leaf.distribution.ends[0]
            group = self._group(leaf)
            if group not in drawn:
                together = {
                    other.path: self._distributions[other.path]
                    for other in self._space.leaves
                    if self._group(other) == group and other.path not in given
                }
                together = {path: d for path, d in together.items() if not d.single()}
                drawn[group] = sampler.sample_relative(study, trial, together)
            if leaf.path not in drawn[group]:
                return sampler.sample_independent(study, trial, leaf.path, distribution)  # type: ignore[no-any-return]
            return drawn[group][leaf.path]

        return self._space.draw(pick)

    def _group(self, leaf: Leaf) -> _Group:
        """Return what the leaves that are modelled together have in common.

        TPE has a joint model for each set of leaves that occur together. The other samplers know
        no conditions: they see all leaves in every trial.
        """
        return leaf.condition if self._name == "tpe" else ()

    def _params(self, values: Values) -> Values:
        """Return the settings of a trial as the sampler sees them."""
        if self._name == "tpe":
            return values
        # always the same for a leaf that is inactive, since nothing was measured for another
        middle = {leaf.path: value_at(leaf.distribution, 0.5) for leaf in self._space.leaves}
        return {**middle, **values}

    def _add(self, epoch: int, params: Values, state: OptunaState) -> int:
        distributions = {path: self._distributions[path] for path in params}
        trial = create_trial(state=state, params=params, distributions=distributions)
        return self._storage.create_new_trial(self._study_ids[epoch], trial)

    def _measured(self, epoch: int, number: int, costs: FloatArray, excesses: FloatArray) -> None:
        self._worst[epoch] = np.maximum(self._worst[epoch], costs)
        self._worst_excesses[epoch] = np.maximum(self._worst_excesses[epoch], excesses)
        self._complete(number, costs, excesses)
        self._completed[epoch] += 1  # only these: a model of failures would prefer them

    def _complete(self, number: int, costs: FloatArray, excesses: FloatArray) -> None:
        self._set_excesses(number, excesses)
        self._storage.set_trial_state_values(
            number, OptunaState.COMPLETE, [float(cost) for cost in costs]
        )

    def _close(self, epoch: int, number: int, failed: bool) -> None:
        if failed:
            self._complete(number, self._worst[epoch], self._worst_excesses[epoch])
            return
        # Without values, and below every trial that has some: a study that knew only those that
        # came this far would suggest again what was stopped on the way.
        self._set_excesses(number, self._worst_excesses[epoch])
        self._storage.set_trial_state_values(number, self._state_of_stopped(epoch))

    def _state_of_stopped(self, epoch: int) -> OptunaState:
        """Return PRUNED, or FAIL for a trial that the study of ``epoch`` will not look at.

        A suggestion costs time for every trial in the model: of thousands that were stopped, those
        that come later count ever more rarely, so that they stay spread over the search.
        """
        self._stopped[epoch] += 1
        every = 1 + self._stopped[epoch] // MAX_STOPPED
        return OptunaState.PRUNED if self._stopped[epoch] % every == 0 else OptunaState.FAIL

    def _set_excesses(self, number: int, excesses: FloatArray) -> None:
        # through a trial of its own, for only Optuna knows under which names it keeps them
        constraints = {f"{index}": float(excess) for index, excess in enumerate(excesses)}
        noted = create_trial(value=0.0, constraints=constraints).system_attrs
        for key, excess in noted.items():
            self._storage.set_trial_system_attr(number, key, excess)


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
