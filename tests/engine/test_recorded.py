from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.engine.make_recording import made_recording
from tests.engine.make_search import make_decisions, make_spec
from tests.pareto import brute_force
from tunebox.decisions.decisions import Decisions
from tunebox.decisions.method import SearchMethod, Verdict
from tunebox.decisions.trials import Report, TrialLog, TrialRecord, TrialState, non_finite_metric
from tunebox.engine.recorded import Recording, Replay, replay
from tunebox.pareto.constraints import Constraint, Constraints
from tunebox.pareto.objectives import Objective, Objectives
from tunebox.spec.sample import sample_values
from tunebox.spec.search_settings import HypervolumeStalls, StopWhen
from tunebox.spec.space import Space, Values
from tunebox.spec.yaml_source import parse_yaml

OBJECTIVES = Objectives([Objective("score", True, 0.0), Objective("cost", False, 10.0)])
SPACE = """\
lr: {log_uniform: [0.01, 1]}
width: {int_uniform: [0, 10]}
act: {choice: [null, relu, 2]}
loss: {choice: {plain: {}, noisy: {std: {uniform: [0, 2]}}}}
"""
STD = "loss/noisy/std"


def make_space(text: str = SPACE) -> Space:
    source = parse_yaml(text, "made.yaml")
    return Space(source.data, source)


def add_trial(
    log: TrialLog,
    settings: Values,
    scores: list[float],
    seconds: float = 1.0,
    state: TrialState = TrialState.FINISHED,
) -> TrialRecord:
    """Record a trial whose epochs all take ``seconds``; ``cost`` is 1 at each."""
    trial = TrialRecord(f"r{len(log.trials)}", settings, start_time=0.0, state=state)
    for epoch, score in enumerate(scores, start=1):
        metrics = {"score": score, "cost": 1.0, "train_seconds": seconds * epoch}
        trial.history.append(Report(epoch, metrics, 0.0))
    log.trials[trial.trial_id] = trial
    return trial


def settings(lr: float, width: int = 5, act: str | int | None = None) -> Values:
    return {"lr": lr, "width": width, "act": act, "loss": "plain"}


@dataclass
class Scripted(SearchMethod):
    """Suggests what it was given, stops trials after given epochs, and writes down all calls."""

    values: list[Values]
    stop_after: dict[str, int] = field(default_factory=dict)
    calls: list[tuple[object, ...]] = field(default_factory=list)

    def suggest(self, trial_id: str) -> Values:
        self.calls.append(("suggest", trial_id))
        return self.values[int(trial_id) % len(self.values)]

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> Verdict:
        self.calls.append(("report", trial_id, epoch))
        goes_on = epoch < self.stop_after.get(trial_id, 1000)
        return Verdict.CONTINUE if goes_on else Verdict.STOP

    def end(self, trial_id: str, failed: bool) -> None:
        self.calls.append(("end", trial_id, failed))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (settings(0.011), 0),
        (settings(0.099), 1),  # half-way between 0.01 and 1 in logarithms, not in value
        (settings(0.9), 2),
        (settings(0.1, width=9), 3),  # 0.1 from 10 and 0.4 from 5
        (settings(0.1, width=8, act="relu"), 4),  # another option is 1 away, and 8 is only 0.3
        (settings(0.1, width=5, act=2), 1),  # as far from null as from relu: the first recorded
        ({**settings(0.5), "loss": "noisy", STD: 0.9}, 6),  # 0.15, 0.5, 0.55 from it; 0.85, 0, 0.35
        (
            {**settings(0.01), "loss": "noisy", STD: 1.2},
            5,
        ),  # 0.5 in std; in its branch however near the others
    ],
)
def test_nearest_setting_in_the_same_branches_answers(asked: Values, expected: int) -> None:
    log = TrialLog(OBJECTIVES)
    for lr in (0.01, 0.1, 1.0):
        add_trial(log, settings(lr), [0.5])
    add_trial(log, settings(0.1, width=10), [0.5])
    add_trial(log, settings(0.1, width=5, act="relu"), [0.5])
    add_trial(log, {**settings(0.01), "loss": "noisy", STD: 0.2}, [0.5])
    add_trial(log, {**settings(1.0, width=10), "loss": "noisy", STD: 2.0}, [0.5])
    found = Recording(make_space(), log).nearest(asked)
    assert found.trial_id == f"r{expected}"


def test_nearest_by_the_definition_written_out() -> None:
    space, generator, log = make_space(), random.Random(0), TrialLog(OBJECTIVES)
    for _ in range(60):
        add_trial(log, sample_values(space, generator), [0.5])
    recording = Recording(space, log)
    for _ in range(100):
        asked = sample_values(space, generator)
        same = [t for t in log.trials.values() if t.settings["loss"] == asked["loss"]]
        assert recording.nearest(asked) is min(same, key=lambda t: distance(asked, t.settings))


def distance(one: Values, other: Values) -> float:
    total = float(one["act"] != other["act"])
    scales = {"lr": math.log(100), "width": 10.0, STD: 2.0}
    for path, scale in scales.items():
        if path in one:
            a, b = float(one[path] or 0), float(other[path] or 0)
            gap = math.log(a / b) if path == "lr" else a - b
            total += (gap / scale) ** 2
    return total


def test_branch_without_a_recording_is_an_error() -> None:
    log = TrialLog(OBJECTIVES)
    add_trial(log, settings(0.1), [0.5])
    recording = Recording(make_space(), log)
    with pytest.raises(ValueError, match="loss=noisy; record more trials"):
        recording.nearest({**settings(0.1), "loss": "noisy", STD: 1.0})


def test_trials_without_a_whole_curve_are_no_part_of_a_recording() -> None:
    log = TrialLog(OBJECTIVES)
    for state in TrialState:
        add_trial(log, settings(0.1), [0.5], state=state)
    states = [trial.state for trial in Recording(make_space(), log).trials]
    assert states == [TrialState.FINISHED, TrialState.DIVERGED, TrialState.COLLAPSED]
    with pytest.raises(ValueError, match="it has none"):
        Recording(make_space(), TrialLog(OBJECTIVES))


def test_damaged_curves_are_errors() -> None:
    log = TrialLog(OBJECTIVES)
    trial = add_trial(log, settings(0.1), [0.5, 0.6])
    trial.history.pop(0)
    with pytest.raises(ValueError, match="r0 has no report of epoch 1"):
        Recording(make_space(), log)
    log.trials.clear()
    del add_trial(log, settings(0.1), [0.5]).history[0].metrics["train_seconds"]
    with pytest.raises(ValueError, match="r0 lacks train_seconds"):
        Recording(make_space(), log)


def two_speeds() -> Recording:
    """A quick setting (1 second an epoch) and a slow one (2.5), both of three epochs."""
    log = TrialLog(OBJECTIVES)
    add_trial(log, settings(0.01), [0.1, 0.2, 0.3], seconds=1.0)
    add_trial(log, settings(1.0), [0.4, 0.5, 0.6], seconds=2.5)
    return Recording(make_space(), log)


def test_clock_by_hand() -> None:
    """One worker trains 0000 (quick) and 0002 (quick), the other 0001 (slow)."""
    method = Scripted([settings(0.01), settings(1.0)])
    result = replay(method, two_speeds(), num_workers=2, max_epochs=7, max_trials=3)
    assert method.calls == [
        ("suggest", "0000"),
        ("suggest", "0001"),
        ("report", "0000", 1),  # at 1 second
        ("report", "0000", 2),  # 2
        ("report", "0001", 1),  # 2.5
        ("report", "0000", 3),  # 3: the end of its curve
        ("end", "0000", False),
        ("suggest", "0002"),
        ("report", "0002", 1),  # 4
        ("report", "0001", 2),  # 5, queued before the other that is due at 5
        ("report", "0002", 2),  # 5
    ]
    assert result.seconds.tolist() == [1, 2, 2.5, 3, 4, 5, 5]
    best = [0.1, 0.2, 0.4, 0.4, 0.4, 0.5, 0.5]
    assert result.hypervolumes == pytest.approx([9 * score for score in best])
    states = [trial.state for trial in result.log.trials.values()]
    assert states == [TrialState.FINISHED, TrialState.INTERRUPTED, TrialState.INTERRUPTED]
    assert [trial.start_time for trial in result.log.trials.values()] == [0, 0, 3]
    assert [trial.end_time for trial in result.log.trials.values()] == [3, 5, 5]


def test_every_worker_has_a_trial_however_few_epochs_there_are() -> None:
    """Two slow trials and two quick ones, which report first."""
    method = Scripted([settings(1.0), settings(1.0), settings(0.01), settings(0.01)])
    result = replay(method, two_speeds(), num_workers=4, max_epochs=2)
    assert result.seconds.tolist() == [1, 1]
    assert [trial.epochs for trial in result.log.trials.values()] == [0, 0, 1, 1]


def test_a_trial_ends_with_its_curve() -> None:
    log = TrialLog(OBJECTIVES)
    add_trial(log, settings(0.01), [0.1])
    add_trial(log, settings(1.0), [0.4, 0.5, 0.6])
    method = Scripted([settings(0.01), settings(1.0)])
    recording = Recording(make_space(), log)
    result = replay(method, recording, num_workers=1, max_epochs=9, max_trials=2)
    assert [trial.epochs for trial in result.log.trials.values()] == [1, 3]
    ends = [call for call in method.calls if call[0] == "end"]
    assert ends == [("end", "0000", False), ("end", "0001", False)]


def test_stopped_trial_makes_room() -> None:
    method = Scripted([settings(0.01)], stop_after={"0000": 1, "0001": 2})
    result = replay(method, two_speeds(), num_workers=1, max_epochs=100, max_trials=3)
    assert [trial.epochs for trial in result.log.trials.values()] == [1, 2, 3]
    states = [trial.state for trial in result.log.trials.values()]
    assert states == [TrialState.STOPPED, TrialState.STOPPED, TrialState.FINISHED]
    assert result.log.epochs_spent == len(result.seconds) == len(result.hypervolumes) == 6


@dataclass
class Pausing(Scripted):
    """Pauses every trial after its first epoch, and promotes those that it was given."""

    promotions: list[str | None] = field(default_factory=list)

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> Verdict:
        super().report(trial_id, epoch, metrics)
        return Verdict.CONTINUE if epoch > 1 else Verdict.PAUSE

    def choose_paused(self) -> str | None:
        self.calls.append(("choose",))
        return self.promotions.pop(0) if self.promotions else None

    def promote(self, trial_id: str) -> None:
        self.calls.append(("promote", trial_id))


def test_paused_trial_goes_on_where_it_was() -> None:
    method = Pausing([settings(0.01), settings(1.0)], promotions=[None, None, "0000", None, "0001"])
    result = replay(method, two_speeds(), num_workers=1, max_epochs=100, max_trials=3)
    assert method.calls == [
        ("choose",),
        ("suggest", "0000"),
        ("report", "0000", 1),
        ("choose",),
        ("suggest", "0001"),
        ("report", "0001", 1),
        ("choose",),
        ("promote", "0000"),
        ("report", "0000", 2),
        ("report", "0000", 3),
        ("end", "0000", False),
        ("choose",),
        ("suggest", "0002"),
        ("report", "0002", 1),
        ("choose",),
        ("promote", "0001"),
        ("report", "0001", 2),
        ("report", "0001", 3),
        ("end", "0001", False),
        ("choose",),  # nothing more to promote or to start: it ends
        ("end", "0002", False),
    ]
    assert result.seconds.tolist() == [1, 3.5, 4.5, 5.5, 6.5, 9, 11.5]
    states = [trial.state for trial in result.log.trials.values()]
    assert states == [TrialState.FINISHED, TrialState.FINISHED, TrialState.STOPPED]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_diverged_recording_diverges_at_its_epoch_and_counts_for_nothing(bad: float) -> None:
    log = TrialLog(OBJECTIVES)
    trial = add_trial(log, settings(0.1), [0.2, 0.9], state=TrialState.DIVERGED)
    trial.history[-1].metrics["train_loss"] = bad
    method = Scripted([settings(0.1)])  # which itself would go on
    recording = Recording(make_space(), log)
    result = replay(method, recording, num_workers=1, max_epochs=3)
    reports = [("report", "0000", epoch) for epoch in (1, 2)]
    assert method.calls[1:4] == [*reports, ("end", "0000", True)]
    assert result.log.trials["0000"].state is TrialState.DIVERGED
    assert result.hypervolumes == pytest.approx([9 * 0.2] * 3)
    assert recording.best_hypervolume == pytest.approx(9 * 0.2)


def test_epochs_to_a_hypervolume() -> None:
    result = Replay(np.arange(3.0), np.array([0.5, 2.0, 2.5]), TrialLog(OBJECTIVES))
    assert [result.epochs_to(goal) for goal in (0.25, 0.5, 1.0, 2.5, 2.6)] == [1, 1, 2, 3, None]


@pytest.mark.parametrize("name", ["num_workers", "max_epochs", "max_trials"])
def test_limits_below_1_are_errors(name: str) -> None:
    limits = {"num_workers": 1, "max_epochs": 1, name: 0}
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        replay(Scripted([settings(0.01)]), two_speeds(), **limits)  # type: ignore[arg-type]


def run_decisions(seed: int, num_workers: int, max_epochs: int = 150) -> Replay:
    decisions = make_decisions(make_spec(seed))
    return replay(decisions, made_recording(), num_workers=num_workers, max_epochs=max_epochs)


@pytest.mark.parametrize("num_workers", [1, 8])
def test_same_seed_gives_the_same_replay(num_workers: int) -> None:
    first, again = (run_decisions(3, num_workers) for _ in range(2))
    assert first.hypervolumes.tolist() == again.hypervolumes.tolist()
    assert first.seconds.tolist() == again.seconds.tolist()
    assert first.log.trials == again.log.trials
    assert run_decisions(4, num_workers).log.trials != first.log.trials


@pytest.mark.parametrize("num_workers", [1, 8])
def test_replay_of_the_decisions_is_consistent(num_workers: int) -> None:
    result, spec = run_decisions(2, num_workers), make_spec()
    trials = list(result.log.trials.values())
    assert result.log.epochs_spent == len(result.hypervolumes) == 150
    assert (np.diff(result.seconds) >= 0).all()
    assert sum(trial.state is TrialState.INTERRUPTED for trial in trials) <= num_workers
    assert {trial.epochs for trial in trials if trial.state is TrialState.STOPPED} == {1, 3}
    objectives = spec.objective_set
    reports = sorted(
        (report for trial in trials for report in trial.history), key=lambda report: report.time
    )
    finite = [report for report in reports if non_finite_metric(report.metrics) is None]
    assert finite != reports
    costs = np.array([objectives.costs(report.metrics) for report in finite])
    expected = brute_force.hypervolume(costs, objectives.reference_costs)
    assert result.hypervolumes[-1] == pytest.approx(expected)
    assert (np.diff(result.hypervolumes) >= 0).all()


def test_more_workers_take_less_time_for_the_same_epochs() -> None:
    ends = [run_decisions(0, num_workers).seconds[-1] for num_workers in (1, 4)]
    assert ends[0] > 3 * ends[1]


def test_a_replay_under_constraints_counts_what_keeps_them() -> None:
    bound = Constraints([Constraint("clean_accuracy", 0.5, None)])
    free = made_recording()
    recording = made_recording.__wrapped__()
    recording.constraints = bound
    spec = make_spec(2)
    method = Decisions(spec.space, spec.objective_set, spec.search, bound)
    result = replay(method, recording, num_workers=2, max_epochs=120)
    reports = [report for trial in result.log.trials.values() for report in trial.history]
    kept = [report for report in reports if report.metrics["clean_accuracy"] >= 0.5]
    finite = [report for report in kept if non_finite_metric(report.metrics) is None]
    assert 0 < len(finite) < len(reports)
    costs = np.array([spec.objective_set.costs(report.metrics) for report in finite])
    expected = brute_force.hypervolume(costs, spec.objective_set.reference_costs)
    assert result.hypervolumes[-1] == pytest.approx(expected)
    assert all(t.last_metrics["clean_accuracy"] >= 0.5 for t in result.log.front())
    assert 0 < recording.best_hypervolume < free.best_hypervolume
    assert result.ended == "the budget of 120 epochs is spent"


def test_a_replay_ends_when_the_hypervolume_stalls() -> None:
    spec = make_spec()
    rule = StopWhen(hypervolume_stalls=HypervolumeStalls(trials=8, tolerance=0.01))
    result = replay(
        make_decisions(spec), made_recording(), num_workers=1, max_epochs=1000, stop_when=rule
    )
    assert len(result.hypervolumes) < 1000
    assert result.ended.startswith("the hypervolume stalls: the last 8 trials")
    ended = [trial for trial in result.log.trials.values() if trial.end_time is not None]
    before = TrialLog(spec.objective_set)
    before.trials = {trial.trial_id: trial for trial in ended[:-8]}
    assert result.log.hypervolume() < 1.01 * before.hypervolume()
