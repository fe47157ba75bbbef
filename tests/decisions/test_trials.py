from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pareto import brute_force
from tests.records.make_log import CLEAN, LOSS, NOISY, make_trial
from tunebox.decisions.trials import Report, TrialLog, TrialRecord, TrialState
from tunebox.pareto.objectives import Objectives

GOOD = (TrialState.FINISHED, TrialState.STOPPED)
ENDS = [state for state in TrialState if state is not TrialState.RUNNING]


def expected_front(log: TrialLog) -> list[str]:
    """By the definition, of equal trials the one that started first."""
    trials = [trial for trial in log.trials.values() if trial.state in GOOD and trial.history]
    costs = [log.objectives.costs(trial.last_metrics).tolist() for trial in trials]
    front = [
        i
        for i, cost in enumerate(costs)
        if not any(brute_force.dominates(other, cost) for other in costs)
    ]
    first = [i for i in front if costs[i] not in [costs[j] for j in front if j < i]]
    return [trials[i].trial_id for i in sorted(first, key=lambda i: costs[i])]


def expected_hypervolume(log: TrialLog) -> float:
    costs = [
        log.objectives.costs(trial.last_metrics)
        for trial in log.trials.values()
        if trial.state in GOOD and trial.history
    ]
    if not costs:
        return 0.0
    return brute_force.hypervolume(np.array(costs), log.objectives.reference_costs)


def check(log: TrialLog) -> None:
    assert [trial.trial_id for trial in log.front()] == expected_front(log)
    assert log.hypervolume() == pytest.approx(expected_hypervolume(log))
    for trial in log.front():
        values = [trial.last_metrics[name] for name in log.objectives.names]
        assert log.equals(trial.trial_id) == [
            other.trial_id
            for other in log.trials.values()
            if other is not trial
            and other.state in GOOD
            and [other.last_metrics.get(name) for name in log.objectives.names] == values
        ]


shares = st.integers(0, 4).map(lambda n: n / 4)


@given(st.integers(1, 3), st.data())
def test_front_of_a_growing_log_is_the_front_of_its_trials(
    num_objectives: int, data: st.DataObject
) -> None:
    """Trials start, report, and end in any order and state; the front is asked for in between."""
    log = TrialLog(Objectives([CLEAN, NOISY, LOSS][:num_objectives]))
    steps = data.draw(st.lists(st.tuples(st.integers(0, 9), shares, shares, shares), max_size=14))
    for number, clean, noisy, loss in steps:
        trial = log.trials.setdefault(f"t{number}", TrialRecord(f"t{number}", {}, 0.0))
        if trial.state is TrialState.RUNNING:
            metrics = {"clean_accuracy": clean, "noisy_accuracy": noisy, "train_loss": loss}
            trial.history.append(Report(trial.epochs + 1, metrics, 0.0))
            trial.state = data.draw(st.sampled_from(list(TrialState)))
        if data.draw(st.booleans()):
            check(log)
    check(log)


def test_interrupted_trial_that_goes_on_gets_onto_the_front() -> None:
    log = TrialLog(Objectives([CLEAN, NOISY]))
    trial = log.trials["a"] = make_trial("a", 0.5, 0.5)
    trial.state = TrialState.INTERRUPTED
    assert log.front() == []
    trial.state = TrialState.RUNNING
    assert log.front() == []
    trial.state = TrialState.FINISHED
    assert log.front() == [trial]


def test_log_that_is_filled_anew_forgets_what_it_had() -> None:
    log = TrialLog(Objectives([CLEAN, NOISY]))
    log.trials = {name: make_trial(name, 0.9, 0.9) for name in "ab"}
    check(log)
    log.trials = {name: make_trial(name, 0.5, 0.5) for name in "abc"}
    check(log)
    log.trials.clear()
    check(log)
    log.trials["z"] = make_trial("z", 0.25, 0.5)
    log.trials["y"] = make_trial("y", 0.5, 0.25)
    check(log)
    log.objectives = Objectives([NOISY])
    check(log)


@pytest.mark.parametrize("state", ENDS)
def test_only_trials_that_ended_as_they_should_are_on_the_front(state: TrialState) -> None:
    log = TrialLog(Objectives([CLEAN, NOISY]))
    trial = log.trials["a"] = make_trial("a", 0.5, 0.5)
    trial.state = state
    assert log.front() == ([trial] if state in GOOD else [])


def test_front_asked_for_after_every_trial_compares_only_what_is_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log, generator, turned = TrialLog(Objectives([CLEAN, NOISY])), random.Random(0), []
    costs = Objectives.costs

    def counted(self: Objectives, metrics: dict[str, float]) -> object:
        turned.append(metrics)
        return costs(self, metrics)

    monkeypatch.setattr(Objectives, "costs", counted)
    sizes = 0
    for number in range(100):
        sizes += len(log.front())
        name = f"t{number}"
        log.trials[name] = make_trial(name, generator.random(), generator.random())
    log.front()
    assert len(turned) <= 100 + sizes  # each trial once, and the front with each
    monkeypatch.undo()
    assert [trial.trial_id for trial in log.front()] == expected_front(log)
