"""Suggests settings with an Optuna sampler that only compares values of the same epoch.

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

from tunebox.decisions.points import PointSampler
from tunebox.decisions.samplers import MIN_TRIALS, Reports, optuna_sampler, seed_of
from tunebox.decisions.trials import TrialState
from tunebox.pareto.objectives import FloatArray
from tunebox.spec.sample import value_at
from tunebox.spec.space import Choice, Distribution, Leaf, Scalar, Space, Values

_Group = tuple[tuple[str, str], ...]  # the branches that lead to a leaf
NO_VIOLATIONS: FloatArray = np.zeros(0)
MAX_STOPPED = 500  # trials without values, up to which a study keeps all


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
        """Start without any trial.

        Args:
            space: What is searched.
            epochs: The rungs and the last epoch, ascending.
            reference_costs: ``(D,)``, the costs of a failed trial, or worse if others are.
            seed: Random seed of every draw.
            name: ``tpe`` or ``nsga2``.
            num_bounds: Number of bounds in the constraints: each report has a violation of each.
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
        # the costs of a failed trial: no better than those of any trial with values
        self._worst = {epoch: np.array(reference_costs, dtype=float) for epoch in epochs}
        # the violations of a trial without values: as large as any trial's, at least 1
        self._worst_violations = {epoch: np.ones(num_bounds) for epoch in epochs}
        # for each running trial, its number in the storage, in every study not reported to yet
        self._running: dict[str, dict[int, int]] = {}
        self._distributions = {leaf.path: optuna_distribution(leaf) for leaf in space.leaves}

    def _create_study(self, epoch: int, num_objectives: int) -> optuna.Study:
        return optuna.create_study(
            storage=self._storage,
            study_name=f"epoch {epoch}",
            directions=["minimize"] * num_objectives,
            sampler=optuna.samplers.RandomSampler(seed=0),  # never draws: see _draw
        )

    def ask(self, trial_id: str, given: Mapping[str, Scalar] | None = None) -> Values:
        """Return settings to try, those ``given`` as they are; nothing changes until `adopt`."""
        modelled = [epoch for epoch, count in self._completed.items() if count >= MIN_TRIALS]
        if not modelled:
            return self._first.settings(self._num_trials, given or {})
        study = self._studies[max(modelled)]
        # A temporary trial: a sampler stores attributes in a trial that it suggests for, which
        # the same trial would not have after a resume.
        question = study.ask()
        values = self._draw(study, question.number, given or {})
        study.tell(question, state=OptunaState.FAIL)
        return values

    def adopt(self, trial_id: str, values: Values) -> None:
        """Count a trial with ``values`` as running in every study."""
        self._num_trials += 1
        params = self._params(values)
        self._running[trial_id] = {epoch: self._add(epoch, params) for epoch in self._studies}

    def tell(
        self, trial_id: str, epoch: int, costs: FloatArray, violations: FloatArray = NO_VIOLATIONS
    ) -> None:
        """Record what a trial reported at ``epoch``; other epochs than the studies' are ignored.

        Args:
            trial_id: A trial that was adopted.
            epoch: Epochs that it has trained.
            costs: ``(D,)``, finite.
            violations: ``(num_bounds,)``, how far it is beyond each bound of the constraints.
        """
        number = self._running[trial_id].pop(epoch, None)
        if number is not None:
            self._measured(epoch, number, costs, violations)

    def end(self, trial_id: str, failed: bool) -> None:
        """Close a trial in the studies in which it still runs.

        Args:
            trial_id: A trial that will report no more.
            failed: Whether it failed or diverged: it then counts with the worst costs that
                matter, so that the sampler keeps away from its settings.
        """
        for epoch, number in self._running.pop(trial_id, {}).items():
            self._close(epoch, number, failed)

    def learn(self, values: Values, reports: Reports, state: TrialState) -> None:
        """Learn from a trial of an earlier search, which does not count as one of this search.

        Args:
            values: Its settings.
            reports: Costs and violations by epoch.
            state: How it ended. Above the epochs that it has, one that was stopped or diverged
                counts as such, and one that finished is left out.
        """
        params = self._params(values)
        for epoch in self._studies:
            if epoch in reports:
                number = self._add(epoch, params)
                self._measured(epoch, number, *reports[epoch])
            elif state is not TrialState.FINISHED and epoch > max(reports, default=0):
                number = self._add(epoch, params)
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

        TPE has a joint model for each set of leaves that occur together. NSGA-II knows no
        conditions: it sees all leaves in every trial.
        """
        return leaf.condition if self._name == "tpe" else ()

    def _params(self, values: Values) -> Values:
        """Return the settings of a trial as the sampler sees them."""
        if self._name == "tpe":
            return values
        # a fixed value for an inactive leaf: no other value was measured
        middle = {leaf.path: value_at(leaf.distribution, 0.5) for leaf in self._space.leaves}
        return {**middle, **values}

    def _add(self, epoch: int, params: Values) -> int:
        """Add a running trial to a study; trials share the distributions, as they are large."""
        number = self._storage.create_new_trial(self._study_ids[epoch])
        for path, value in params.items():
            distribution = self._distributions[path]
            internal = distribution.to_internal_repr(value)
            self._storage.set_trial_param(number, path, internal, distribution)
        return number

    def _measured(self, epoch: int, number: int, costs: FloatArray, violations: FloatArray) -> None:
        self._worst[epoch] = np.maximum(self._worst[epoch], costs)
        self._worst_violations[epoch] = np.maximum(self._worst_violations[epoch], violations)
        self._complete(number, costs, violations)
        self._completed[epoch] += 1  # without failures: a model of these would prefer them

    def _complete(self, number: int, costs: FloatArray, violations: FloatArray) -> None:
        self._set_violations(number, violations)
        self._storage.set_trial_state_values(
            number, OptunaState.COMPLETE, [float(cost) for cost in costs]
        )

    def _close(self, epoch: int, number: int, failed: bool) -> None:
        if failed:
            self._complete(number, self._worst[epoch], self._worst_violations[epoch])
            return
        # No values, and ranked below every trial with values: a study that had only the trials
        # that got this far would suggest again what was stopped earlier.
        self._set_violations(number, self._worst_violations[epoch])
        self._storage.set_trial_state_values(number, self._state_of_stopped(epoch))

    def _state_of_stopped(self, epoch: int) -> OptunaState:
        """Return PRUNED, or FAIL for a trial that the study of ``epoch`` leaves out of its model.

        Each trial in the model makes a suggestion slower. Beyond `MAX_STOPPED`, stopped trials are
        kept ever more rarely, so that those that are kept are spread over the search.
        """
        self._stopped[epoch] += 1
        every = 1 + self._stopped[epoch] // MAX_STOPPED
        return OptunaState.PRUNED if self._stopped[epoch] % every == 0 else OptunaState.FAIL

    def _set_violations(self, number: int, violations: FloatArray) -> None:
        # through a trial of its own: the names of these attributes are internal to Optuna
        constraints = {f"{index}": float(violation) for index, violation in enumerate(violations)}
        noted = create_trial(value=0.0, constraints=constraints).system_attrs
        for key, violation in noted.items():
            self._storage.set_trial_system_attr(number, key, violation)


def optuna_distribution(leaf: Leaf) -> BaseDistribution:
    """Return what Optuna calls the distribution of ``leaf``."""
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
