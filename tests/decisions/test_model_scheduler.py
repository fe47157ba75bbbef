"""Who goes on by the model: the comparison of gains, and that it follows from the events."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from tests.decisions.test_state import commands_of, told
from tests.engine.made_executor import MadeExecutor, Written
from tests.engine.make_search import make_spec
from tunebox.decisions import model_scheduler
from tunebox.decisions.events import (
    Ended,
    Event,
    Paused,
    Planned,
    Promoted,
    Reported,
    SearchEnded,
)
from tunebox.decisions.gp_sampler import GpSampler
from tunebox.decisions.method import Verdict
from tunebox.decisions.model_scheduler import ModelScheduler
from tunebox.decisions.sampler import NO_VIOLATIONS
from tunebox.decisions.state import SearchState
from tunebox.decisions.trials import TrialState
from tunebox.engine.drive import Outcome, drive
from tunebox.pareto.objectives import FloatArray
from tunebox.pareto.rungs import Ladder
from tunebox.spec.search_settings import StopWhen
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Scalar, Values


class KnownGains(GpSampler):
    """A model that says what a test says."""

    modelled_epochs = (2, 4, 8)
    is_modelled = True
    is_turn_of_tpe = False

    def __init__(self, gains: Mapping[str, float], of_new: float) -> None:
        self.gains = dict(gains)
        self.of_new = of_new
        self.calls: list[str] = []

    def gains_of(self, trial_ids: Sequence[str]) -> list[float]:
        return [self.gains[trial_id] for trial_id in trial_ids]

    def gain_of_new(self, values: Values) -> float:
        return self.of_new

    def gain_of_next(self) -> float:
        return self.of_new

    def compare(self, trial_id: str, epoch: int, costs: FloatArray) -> None:
        self.calls.append(f"compare {trial_id} {epoch}")

    def tell(
        self, trial_id: str, epoch: int, costs: FloatArray, violations: FloatArray = NO_VIOLATIONS
    ) -> None:
        self.calls.append(f"tell {trial_id} {epoch}")

    def pause(self, trial_id: str) -> None:
        self.calls.append(f"pause {trial_id}")

    def go_on(self, trial_id: str) -> None:
        self.calls.append(f"go on {trial_id}")


def scheduler_of(
    gains: Mapping[str, float], of_new: float = 8.0, max_paused: int = 16
) -> tuple[ModelScheduler, KnownGains]:
    sampler = KnownGains(gains, of_new)
    scheduler = ModelScheduler(Ladder(2, 8, 2), sampler, 8, max_paused)
    scheduler.adopt({})
    return scheduler, sampler


def report(scheduler: ModelScheduler, trial_id: str, epoch: int) -> Verdict:
    return scheduler.report(trial_id, epoch, np.array([0.5, 0.5]), np.zeros(0))


def test_gains_are_compared_by_epoch() -> None:
    """An epoch of a new trial gains 8 / 8; half of that is 3 in the 6 epochs after the second."""
    scheduler, sampler = scheduler_of({"a": 3.01, "b": 2.99})
    assert report(scheduler, "a", 2) is Verdict.CONTINUE
    assert report(scheduler, "b", 2) is Verdict.PAUSE
    sampler.gains["a"] = 2.01  # of the 4 epochs after the fourth
    assert report(scheduler, "a", 4) is Verdict.CONTINUE
    assert report(scheduler, "a", 8) is Verdict.STOP
    assert sampler.calls.index("compare b 2") < sampler.calls.index("tell b 2")
    assert scheduler.why_stopped("b") == (
        "at epoch 2 an epoch was expected to gain 0.5 of hypervolume, one of a new trial 1"
    )


def test_between_modelled_epochs_and_before_the_first_rung_a_trial_goes_on() -> None:
    scheduler, _ = scheduler_of({"a": 0.0})
    assert [report(scheduler, "a", epoch) for epoch in (1, 3, 5)] == [Verdict.CONTINUE] * 3


def test_the_best_paused_trial_goes_on_if_it_is_worth_more_than_a_new_one() -> None:
    scheduler, sampler = scheduler_of({"a": 1.0, "b": 2.0})
    assert report(scheduler, "a", 2) is report(scheduler, "b", 2) is Verdict.PAUSE
    assert scheduler.choose_paused() is None
    sampler.of_new = 2.0
    assert scheduler.choose_paused() is None  # the newest trial was worth more
    scheduler.adopt({})
    assert scheduler.choose_paused() == "b"  # 2 / 6 against 2 / 8
    scheduler.promote("b")
    assert sampler.calls[-1] == "go on b"
    assert scheduler.choose_paused() is None  # 1 / 6 against 2 / 8
    sampler.gains["a"] = 2.0
    sampler.of_new = 4.0
    assert scheduler.choose_paused() is None  # the next one is worth more


def test_of_too_many_paused_trials_the_one_that_gains_least_ends() -> None:
    gains = {"a": 2.0, "b": 1.0, "c": 1.5}
    scheduler, _ = scheduler_of(gains, max_paused=2)
    for trial_id in gains:
        assert scheduler.choose_superfluous() is None
        assert report(scheduler, trial_id, 2) is Verdict.PAUSE
    assert scheduler.choose_superfluous() == "b"
    scheduler.end("b")
    assert scheduler.choose_superfluous() is None


def test_without_a_model_the_rungs_decide() -> None:
    scheduler, sampler = scheduler_of({})
    sampler.is_modelled = False
    verdicts = [
        scheduler.report(name, 2, np.array([cost, cost]), np.zeros(0))
        for name, cost in (("a", 0.3), ("b", 0.5), ("c", 0.2))
    ]
    assert verdicts == [Verdict.CONTINUE, Verdict.PAUSE, Verdict.CONTINUE]
    assert scheduler.why_stopped("b") == "not among the best at the rung of epoch 2"
    assert scheduler.choose_paused() is None


# searches with the real model


def spec_of(**settings: Scalar) -> SearchSpec:
    spec = make_spec()
    search = {"sampler": "gp", "scheduler": "model", "trials": 20, **settings}
    return dataclasses.replace(spec, search=spec.search.model_copy(update=search))


@pytest.fixture
def early_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model from the sixth trial on, and trials that pause often, so that some are promoted."""
    monkeypatch.setattr(model_scheduler, "FIRST_TRIALS", 6)
    monkeypatch.setattr(model_scheduler, "_SHARE", 2.0)


def run(spec: SearchSpec, num_workers: int = 1) -> tuple[Outcome, list[Event]]:
    written = Written()
    outcome = drive(SearchState.of(spec), MadeExecutor(num_workers), [written])
    return outcome, written.events


@pytest.mark.slow
@pytest.mark.usefixtures("early_model")
def test_cut_anywhere_all_later_commands_are_the_same() -> None:
    spec = spec_of()
    _, events = run(spec, 3)
    assert {Paused, Promoted} <= set(map(type, events))
    whole = commands_of(SearchState.of(spec), events)
    for share in (0.3, 0.6, 0.9):
        middle = int(share * len(events))
        state = SearchState.of(spec)
        state.replay_events(events[:middle])
        assert commands_of(state, events[middle:]) == whole[middle:]


@pytest.mark.slow
@pytest.mark.usefixtures("early_model")
@pytest.mark.parametrize("killed_after", [20, 30, 41])
def test_a_killed_search_ends_as_the_search_that_was_not(killed_after: int) -> None:
    spec = spec_of()
    whole = told(run(spec)[1])
    written = Written()
    with pytest.raises(KeyboardInterrupt):
        drive(SearchState.of(spec), MadeExecutor(1, killed_after), [written])
    cut = [e for e in written.events if not isinstance(e, SearchEnded)]
    while isinstance(cut[-1], Ended) and cut[-1].state is TrialState.INTERRUPTED:
        cut.pop()
    state = SearchState.of(spec)
    state.replay_events(cut)
    resumed = Written()
    drive(state, MadeExecutor(1), [resumed])
    assert told([*cut, *resumed.events]) == whole


@pytest.mark.slow
@pytest.mark.usefixtures("early_model")
@pytest.mark.parametrize("scheduler", ["ladder", "model"])
def test_a_search_that_expects_too_little_ends_and_a_resume_ends_it_too(scheduler: str) -> None:
    plain = spec_of(trials=60, scheduler=scheduler)
    rule = {"stop_when": StopWhen(expected_gain=0.5)}
    spec = dataclasses.replace(plain, search=plain.search.model_copy(update=rule))
    outcome, events = run(spec)
    assert outcome.reason.startswith("100 epochs more are expected to raise the hypervolume")
    gain = outcome.log.expected_gain()
    assert gain is not None
    assert 0 <= gain < 0.5 * outcome.log.hypervolume()
    planned = [event.expected_gain for event in events if isinstance(event, Planned)]
    assert planned[0] is None  # there was no model
    assert planned[-1] is not None
    state = SearchState.of(spec)
    for event in events:
        state.apply(event)
        if not isinstance(event, SearchEnded | Ended):
            last = state.budget.spent(0.0)
    assert last == outcome.reason


@pytest.mark.slow
@pytest.mark.usefixtures("early_model")
def test_no_more_are_paused_than_allowed_and_a_spent_budget_ends_them() -> None:
    outcome, events = run(spec_of(max_paused=2, epochs=45, trials=40), 2)
    assert outcome.reason == "the budget of 45 epochs is spent"
    paused: set[str] = set()
    for event in events:
        if isinstance(event, Paused):
            paused.add(event.trial_id)
        elif isinstance(event, Promoted | Ended):
            paused.discard(event.trial_id)
        elif isinstance(event, Reported):
            assert len(paused) <= 2
    stopped = [t for t in outcome.log.trials.values() if t.state is TrialState.STOPPED]
    assert stopped
    assert all(trial.reason for trial in stopped)
    assert outcome.log.count(TrialState.PAUSED) == 0
