"""A search as all sections of its report see it."""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tunebox.decisions.comparable import Comparable, comparable
from tunebox.decisions.confirmed import Confirmed
from tunebox.decisions.importance import Importance, importances
from tunebox.decisions.trials import TrialLog, TrialRecord
from tunebox.metrics.catalogue import find_metric
from tunebox.pareto.front import front_indices
from tunebox.pareto.objectives import Objective
from tunebox.records.export import knee
from tunebox.reports.format import format_metric
from tunebox.reports.methods import branch_path, method_of, short_names
from tunebox.spec.space import Leaf
from tunebox.text import counted


@dataclass(frozen=True)
class Study:
    """The trials of a search, with what several sections need.

    Attributes:
        name: Name of the search.
        log: Its trials.
        leaves: Its searched settings; without them, sections about settings are left out.
        question: What the search asks, empty if its file does not say.
        out: Folder of all searches, as the commands of the user need it; None for the default.
        confirmed: What new seeds say of it, None if it was not confirmed.
    """

    name: str
    log: TrialLog
    leaves: tuple[Leaf, ...] = ()
    question: str = ""
    out: str | None = None
    confirmed: Confirmed | None = None

    @cached_property
    def branch(self) -> str | None:
        """The leaf whose options are the methods, None if there are no branches."""
        return branch_path(self.log.trials.values())

    @cached_property
    def methods(self) -> list[str]:
        """The methods in alphabetical order; the place is the number of its colour."""
        return sorted({self.method(trial) for trial in self.log.trials.values()})

    @cached_property
    def baseline(self) -> str | None:
        """The only method without settings of its own, None if there is no such or several.

        In ``choice: {clean_only: {..}, stability: {.. weight: {log_uniform: ..}}}`` it is
        ``clean_only``.
        """
        paths = [leaf.path for leaf in self.leaves]
        plain = [
            method
            for method in self.methods
            if not any(path.startswith(f"{self.branch}/{method}/") for path in paths)
        ]
        return plain[0] if len(plain) == 1 < len(self.methods) else None

    @cached_property
    def front(self) -> list[TrialRecord]:
        """The trials on the front, best in the first objective first."""
        return self.log.front()

    @cached_property
    def front_ids(self) -> set[str]:
        """The ids of the trials on the front."""
        return {trial.trial_id for trial in self.front}

    @cached_property
    def knee(self) -> TrialRecord | None:
        """The knee of the front, None if it has no trials."""
        return knee(self.log, self.front) if self.front else None

    @cached_property
    def picks(self) -> dict[str, list[str]]:
        """What ``--pick`` calls trials of the front, by id."""
        picks: dict[str, list[str]] = {}
        if len(self.front) > 1 and self.knee is not None:
            picks[self.knee.trial_id] = ["knee"]
        for objective in self.log.objectives:
            if self.front:
                best = best_of(self.front, objective)
                picks.setdefault(best.trial_id, []).append(f"best {words(objective.name)}")
        return picks

    @cached_property
    def comparable(self) -> Comparable:
        """The trials whose values at one epoch can be compared."""
        return comparable(self.log)

    @cached_property
    def importances(self) -> list[Importance]:
        """The importance of the settings for the front and for each objective."""
        return importances(self.log.objectives, self.comparable, self.leaves)

    @cached_property
    def names(self) -> dict[str, str]:
        """A short name of each setting, by its path."""
        return short_names(leaf.path for leaf in self.leaves)

    @cached_property
    def main_leaves(self) -> list[Leaf]:
        """The settings, those first that matter most for any target, in as many trials."""
        trials = self.comparable.trials

        def weight(leaf: Leaf) -> float:
            active = sum(leaf.path in trial.settings for trial in trials) / max(1, len(trials))
            shares = [found.shares.get(leaf.path, 0.0) for found in self.importances]
            return active * max(shares, default=1.0)

        return sorted(self.leaves, key=weight, reverse=True)

    def method(self, trial: TrialRecord) -> str:
        """Return the method of ``trial``."""
        return method_of(trial, self.branch)

    def key(self, trial: TrialRecord) -> str:
        """Return what identifies ``trial`` on the page."""
        return f"{self.name}/{trial.trial_id}"

    def with_result(self, method: str | None = None) -> list[TrialRecord]:
        """Return the trials that may be on the front, of one method or of all."""
        return [
            trial
            for trial in self.log.trials.values()
            if self.log.has_result(trial) and method in (None, self.method(trial))
        ]

    def front_of(self, method: str) -> list[TrialRecord]:
        """Return the front of the trials of one method, best in the first objective first."""
        trials = self.with_result(method)
        if not trials:
            return []
        costs = np.array([self.log.objectives.costs(trial.last_metrics) for trial in trials])
        return [trials[index] for index in front_indices(costs)]

    def sample(self, trials: Sequence[TrialRecord], size: int) -> list[TrialRecord]:
        """Return at most ``size`` of ``trials`` in their order, and all that are on the front."""
        if len(trials) <= size:
            return list(trials)
        kept = {trial.trial_id for trial in random.Random(0).sample(list(trials), size)}
        kept |= self.front_ids
        return [trial for trial in trials if trial.trial_id in kept]


def best_of(trials: Iterable[TrialRecord], objective: Objective) -> TrialRecord:
    """Return the first of the trials with the best last value of ``objective``."""
    sign = -1.0 if objective.maximize else 1.0
    return min(trials, key=lambda trial: sign * trial.last_metrics[objective.name])


def words(name: str) -> str:
    """Return the name of a metric or target as words."""
    return name.replace("_", " ")


def axis_of(objective: Objective, *, only_known: bool) -> dict[str, Any]:
    """Return the layout of an axis of ``objective``.

    Args:
        objective: What the axis shows.
        only_known: `Objectives.only_known`: then nothing else is known about it.
    """
    better = "higher" if objective.maximize else "lower"
    axis: dict[str, Any] = {"title": {"text": f"{words(objective.name)} ({better} is better)"}}
    if is_share(objective.name) and not only_known:
        axis["tickformat"] = ".1~%"
    return axis


def is_share(name: str) -> bool:
    """Return whether the metric ``name`` is shown in percent."""
    metric = find_metric(name)
    return metric is not None and metric.unit == "share"


def difference(name: str, value: float) -> str:
    """Return a difference between two values of the metric ``name``, without its sign."""
    if is_share(name):
        return f"{100 * abs(value):.2f} points"
    return format_metric(name, abs(value))


def rounded(value: float) -> float | None:
    """Return ``value`` with four significant digits, None if it is not finite: pages are small."""
    return float(f"{value:.4g}") if math.isfinite(value) else None


def count(number: int, noun: str) -> str:
    """Return ``number`` and the noun in its singular or plural."""
    return counted(number, noun, f"{noun}s")
