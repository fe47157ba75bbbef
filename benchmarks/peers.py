"""Other searches as search methods of a replay, each through its own real code.

An adapter does for its search what that search's own driver does (Ray's ``TuneController``, Syne
Tune's ``Tuner``, a loop over Optuna's ``ask`` and ``tell``): it passes on settings, results and
ends in the same order, and decides nothing. Successive halvings have the rungs of ``search``.
"""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Callable, Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
from ray.tune.schedulers import AsyncHyperBandScheduler
from ray.tune.search.optuna import OptunaSearch
from syne_tune import config_space as syne_space
from syne_tune.backend.trial_status import Trial as SyneTrial
from syne_tune.optimizer.scheduler import SchedulerDecision
from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

from tunebox.decisions.decisions import Decisions
from tunebox.decisions.method import SearchMethod, Verdict
from tunebox.decisions.sampler import suggest_value
from tunebox.decisions.trials import non_finite_metric
from tunebox.pareto.objectives import Objectives
from tunebox.spec.sample import sample_values
from tunebox.spec.search_settings import SearchSettings
from tunebox.spec.space import Choice, Distribution, Space, Values

MethodFactory = Callable[[Space, Objectives, SearchSettings], SearchMethod]
MEAN = "mean_cost"


def stop_unless(goes_on: bool) -> Verdict:
    return Verdict.CONTINUE if goes_on else Verdict.STOP


class RandomSearch(SearchMethod):
    """Random settings, each trained to the end."""

    def __init__(self, space: Space, objectives: Objectives, search: SearchSettings) -> None:
        self._space = space
        self._generator = random.Random(search.seed)

    def suggest(self, trial_id: str) -> Values:
        return sample_values(self._space, self._generator)

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> Verdict:
        return stop_unless(non_finite_metric(metrics) is None)

    def end(self, trial_id: str, failed: bool) -> None:
        pass


def tunebox_gp(space: Space, objectives: Objectives, search: SearchSettings) -> Decisions:
    """Return tunebox's search with its Gaussian process."""
    return Decisions(space, objectives, search.model_copy(update={"sampler": "gp"}))


def tunebox_model(space: Space, objectives: Objectives, search: SearchSettings) -> Decisions:
    """Return tunebox's search with its Gaussian process, which also decides who goes on."""
    update = {"sampler": "gp", "scheduler": "model"}
    return Decisions(space, objectives, search.model_copy(update=update))


def random_with_our_scheduler(
    space: Space, objectives: Objectives, search: SearchSettings
) -> Decisions:
    """Return tunebox's search with settings at random."""
    return Decisions(space, objectives, search.model_copy(update={"sampler": "random"}))


class Nsga2(SearchMethod):
    """Optuna's NSGA-II with its defaults; every trial is trained to the end."""

    def __init__(self, space: Space, objectives: Objectives, search: SearchSettings) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._objectives = space, objectives
        self._study = optuna.create_study(
            directions=["minimize"] * len(objectives),
            sampler=optuna.samplers.NSGAIISampler(seed=search.seed),
        )
        self._trials: dict[str, optuna.Trial] = {}
        self._last: dict[str, Mapping[str, float]] = {}

    def suggest(self, trial_id: str) -> Values:
        trial = self._trials[trial_id] = self._study.ask()
        return self._space.draw(lambda leaf: suggest_value(trial, leaf.path, leaf.distribution))

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> Verdict:
        self._last[trial_id] = metrics
        return stop_unless(non_finite_metric(metrics) is None)

    def end(self, trial_id: str, failed: bool) -> None:
        costs = self._objectives.costs(self._last[trial_id]).tolist()
        if np.isfinite(costs).all():
            self._study.tell(self._trials[trial_id], costs)
        else:
            self._study.tell(self._trials[trial_id], state=optuna.trial.TrialState.FAIL)


class RayOptunaSearch(SearchMethod):
    """Ray Tune's OptunaSearch with several objectives and its defaults; no trial is stopped."""

    def __init__(self, space: Space, objectives: Objectives, search: SearchSettings) -> None:
        metrics = list(objectives.names)
        modes = ["max" if objective.maximize else "min" for objective in objectives]
        self._searcher = RaySearcher(space, metrics, modes, search.seed)
        self._last: dict[str, Mapping[str, float]] = {}

    def suggest(self, trial_id: str) -> Values:
        return self._searcher.suggest(trial_id)

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> Verdict:
        self._last[trial_id] = metrics
        self._searcher.ray.on_trial_result(trial_id, {**metrics, "training_iteration": epoch})
        return stop_unless(non_finite_metric(metrics) is None)

    def end(self, trial_id: str, failed: bool) -> None:
        self._searcher.ray.on_trial_complete(trial_id, dict(self._last[trial_id]))


class RayAsha(SearchMethod):
    """Ray Tune's ASHA over OptunaSearch, both on the mean of the objectives."""

    def __init__(self, space: Space, objectives: Objectives, search: SearchSettings) -> None:
        np.random.seed(search.seed)  # noqa: NPY002  ASHA draws its bracket from this one
        self._objectives = objectives
        self._searcher = RaySearcher(space, MEAN, "min", search.seed)
        self._scheduler = AsyncHyperBandScheduler(
            metric=MEAN,
            mode="min",
            max_t=search.max_epochs,
            grace_period=search.first_rung,
            reduction_factor=search.reduction_factor,
        )
        self._last: dict[str, dict[str, float]] = {}

    def suggest(self, trial_id: str) -> Values:
        values = self._searcher.suggest(trial_id)
        self._scheduler.on_trial_add(None, SimpleNamespace(trial_id=trial_id))
        return values

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> Verdict:
        mean = float(self._objectives.costs(metrics).mean())
        result = self._last[trial_id] = {MEAN: mean, "training_iteration": epoch}
        if non_finite_metric(metrics) is not None:
            return Verdict.STOP
        trial = SimpleNamespace(trial_id=trial_id)
        if self._scheduler.on_trial_result(None, trial, result) == AsyncHyperBandScheduler.STOP:
            return Verdict.STOP
        self._searcher.ray.on_trial_result(trial_id, result)
        return Verdict.CONTINUE

    def end(self, trial_id: str, failed: bool) -> None:
        result = self._last[trial_id]
        self._scheduler.on_trial_complete(None, SimpleNamespace(trial_id=trial_id), result)
        self._searcher.ray.on_trial_complete(trial_id, result)


class RaySearcher:
    """OptunaSearch over a space with branches, defined by run."""

    def __init__(self, space: Space, metric: Any, mode: Any, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self.ray = OptunaSearch(self._define, metric=metric, mode=mode, seed=seed)

    def suggest(self, trial_id: str) -> Values:
        config = self.ray.suggest(trial_id)
        return self._space.draw(lambda leaf: config[_flat(leaf.path)])

    def _define(self, trial: Any) -> None:
        self._space.draw(lambda leaf: suggest_value(trial, _flat(leaf.path), leaf.distribution))


def _flat(path: str) -> str:
    return path.replace("/", ".")  # Ray would make a tree of it, in which a branch is its own leaf


class SyneMoasha(SearchMethod):
    """Syne Tune's MOASHA, which samples at random; it knows no branches and draws every leaf."""

    def __init__(self, space: Space, objectives: Objectives, search: SearchSettings) -> None:
        np.random.seed(search.seed)  # noqa: NPY002  it samples from this one
        self._space, self._objectives = space, objectives
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.getLogger("syne_tune").setLevel(logging.ERROR)
            self._scheduler = MOASHA(
                {leaf.path: _syne_domain(leaf.distribution) for leaf in space.leaves},
                metrics=list(objectives.names),
                time_attr="epoch",
                max_t=search.max_epochs,
                grace_period=search.first_rung,
                reduction_factor=search.reduction_factor,
                random_seed=search.seed,
            )
        self._trials: dict[str, SyneTrial] = {}

    def suggest(self, trial_id: str) -> Values:
        config = self._scheduler.suggest().config
        trial = SyneTrial(len(self._trials), config, datetime.min)
        self._trials[trial_id] = trial
        self._scheduler.on_trial_add(trial)

        def pick(leaf: Any) -> Any:
            chosen = config[leaf.path]
            is_choice = isinstance(leaf.distribution, Choice)
            return leaf.distribution.options[chosen] if is_choice else chosen

        return self._space.draw(pick)

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> Verdict:
        trial = self._trials[trial_id]
        if non_finite_metric(metrics) is not None:
            return Verdict.STOP
        costs = self._objectives.costs(metrics).tolist()  # it has one direction for all
        result = {**dict(zip(self._objectives.names, costs, strict=True)), "epoch": epoch}
        decision = self._scheduler.on_trial_result(trial, result)
        return stop_unless(decision == SchedulerDecision.CONTINUE)

    def end(self, trial_id: str, failed: bool) -> None:
        self._scheduler.on_trial_remove(self._trials[trial_id])


def _syne_domain(distribution: Distribution) -> Any:
    if isinstance(distribution, Choice):  # by number: it takes options of one type only
        return syne_space.choice(list(range(len(distribution.options))))
    low, high = distribution.low, distribution.high
    if distribution.integer:
        make = syne_space.lograndint if distribution.log else syne_space.randint
        return make(int(low), int(high))
    make = syne_space.loguniform if distribution.log else syne_space.uniform
    return make(low, high)


METHODS: dict[str, MethodFactory] = {
    "tunebox": Decisions,
    "tunebox, sampler gp": tunebox_gp,
    "tunebox, sampler gp, scheduler model": tunebox_model,
    "Ray OptunaSearch, no early stop": RayOptunaSearch,
    "Ray ASHA + OptunaSearch, mean": RayAsha,
    "Syne Tune MOASHA": SyneMoasha,
    "Optuna NSGA-II": Nsga2,
    "random": RandomSearch,
    "random + tunebox's scheduler": random_with_our_scheduler,
}
