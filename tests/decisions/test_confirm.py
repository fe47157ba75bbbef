"""Which trials are trained again, with which seeds, and what is made of their results."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from tests.engine.made_executor import Written
from tests.engine.make_search import make_spec, metrics_at
from tunebox.decisions.confirm import (
    MOST_SEEDS,
    Candidate,
    ConfirmMethod,
    choose_trials,
    collect,
    finished_costs,
    new_seed,
)
from tunebox.decisions.confirmed import Confirmed, confirmed
from tunebox.decisions.events import Event, Planned, Reported
from tunebox.decisions.state import SearchState, Stop
from tunebox.decisions.trials import Report, TrialLog, TrialRecord, TrialState
from tunebox.engine.drive import RunningSearch, drive
from tunebox.engine.executor import Executor
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.seeded import seed_path, seeded_spec
from tunebox.spec.space import Values

MAX_EPOCHS, TRIALS, MOST = 9, 20, 4


class NoisyExecutor(Executor):
    """Trains one trial after the other; the seed of a trial moves its accuracies."""

    def __init__(
        self, max_reports: int | None = None, diverges: str = "", measures_test: bool = True
    ) -> None:
        self.clock = 0.0
        self.trained: list[tuple[str, int]] = []  # trial and epoch
        self._left = math.inf if max_reports is None else max_reports
        self._diverges = diverges  # the loss whose trials do
        self._measures_test = measures_test

    def run(self, search: RunningSearch) -> None:
        while search.stop_reason is None and (start := search.next_trial()) is not None:
            search.started(start.trial_id)
            record, command = search.log.trials[start.trial_id], None
            while not isinstance(command, Stop):
                if not self._left:
                    raise KeyboardInterrupt  # as a process that is killed
                self._left -= 1
                self.clock += 1
                epoch = record.epochs + 1
                self.trained.append((start.trial_id, epoch))
                command = search.reported(start.trial_id, epoch, self._metrics(record), "node")
            search.ended(start.trial_id)

    def _metrics(self, record: TrialRecord) -> dict[str, float]:
        metrics = metrics_at(record.settings, record.epochs + 1)
        seed = int(record.settings.get("training/seed") or 0)
        moves = np.random.default_rng(seed).normal(0, 0.01, 2)
        metrics["clean_accuracy"] += moves[0]
        metrics["noisy_accuracy"] += moves[1]
        if self._measures_test:
            metrics |= {f"test_{name}": metrics[name] - 0.02 for name in list(metrics)[:2]}
        if record.settings["losses"] == self._diverges and record.epochs == 1:
            metrics["train_loss"] = math.nan
        return metrics

    def now(self) -> float:
        return self.clock

    def seconds(self) -> float:
        return self.clock


@pytest.fixture(scope="module")
def searched() -> TrialLog:
    """A search that has ended, as its own numbers are: with the noise of a single seed."""
    spec = make_spec()
    state = SearchState.of(spec)
    drive(state, NoisyExecutor(), [])
    return state.log


@pytest.fixture(scope="module")
def again() -> SearchSpec:
    search = {"min_epochs": MAX_EPOCHS, "trials": TRIALS}
    return seeded_spec(make_spec(), num_seeds=MOST_SEEDS, question="again", search=search)


@pytest.fixture(scope="module")
def candidates(searched: TrialLog, again: SearchSpec) -> list[Candidate]:
    return [
        Candidate(
            trial.trial_id,
            trial.settings,
            seed_path(again.space, trial.settings),
            trial.last_metrics if trial.state is TrialState.FINISHED else {},
            is_sure,
        )
        for trial, is_sure in choose_trials(searched, 3, "losses")
    ]


def state_of(
    again: SearchSpec,
    candidates: list[Candidate],
    trials: int = TRIALS,
    most: int = MOST,
    measures_test: bool = True,
) -> SearchState:
    log = TrialLog(again.objective_set)
    method = ConfirmMethod(
        candidates,
        log,
        most_seeds=most,
        max_epochs=MAX_EPOCHS,
        seed=again.search.seed,
        measures_test=measures_test,
    )
    search = again.search.model_copy(update={"trials": trials})
    return SearchState(log, method, search, again.space)


def result_of(
    state: SearchState, candidates: list[Candidate], searched: TrialLog, front: list[str]
) -> Confirmed:
    result = confirmed(candidates, state.log, front, finished_costs(searched))
    assert result is not None
    return result


def test_front_best_of_each_method_and_near_misses_are_chosen(searched: TrialLog) -> None:
    chosen = choose_trials(searched, 2, "losses")
    points = {
        trial.trial_id: tuple(searched.objectives.costs(trial.last_metrics))
        for trial in searched.trials.values()
        if trial.can_be_on_front
    }

    def layer(left: dict[str, tuple[float, ...]]) -> set[str]:
        return {
            name
            for name, one in left.items()
            if not any(
                all(a <= b for a, b in zip(other, one, strict=True)) and other != one
                for other in left.values()
            )
        }

    first = layer(points)
    second = layer({name: point for name, point in points.items() if name not in first})
    finished = {n for n, t in searched.trials.items() if t.state is TrialState.FINISHED}
    best = set()
    for method in ("clean_only", "noisy_only", "stability"):
        names = [n for n in finished if searched.trials[n].settings["losses"] == method]
        if names:
            best.add(max(names, key=lambda n: math.prod(points[n])))  # both costs are below 0
    assert {trial.trial_id for trial, is_sure in chosen if is_sure} == first | best
    near = {trial.trial_id for trial, is_sure in chosen if not is_sure}
    assert near == (second & finished) - best
    assert len(choose_trials(searched, 3, None)) >= len(first) + len(near)
    assert choose_trials(TrialLog(searched.objectives), 3, None) == []


def test_settings_of_a_retraining_are_those_of_the_trial_with_a_new_seed(
    again: SearchSpec, candidates: list[Candidate]
) -> None:
    state = state_of(again, candidates)
    drive(state, NoisyExecutor(), [])
    assert 0 < len(state.log.trials) <= TRIALS
    repeated: dict[str, list[Values]] = {}
    for settings in state.log.planned.values():
        [candidate] = [c for c in candidates if c.is_repeated_by(settings)]
        repeated.setdefault(candidate.trial_id, []).append(settings)
        seed = settings["training/seed"]
        assert settings == {**candidate.settings, "training/seed": seed}
        assert again.trial(settings).own_seed == seed
    seeds = [settings["training/seed"] for settings in state.log.planned.values()]
    assert len(set(seeds)) == len(seeds)
    assert {c.trial_id for c in candidates if c.is_sure} <= set(repeated)
    assert max(len(rows) for rows in repeated.values()) <= MOST
    assert all(t.epochs == MAX_EPOCHS for t in state.log.trials.values())


@pytest.mark.parametrize("cut", [1, MAX_EPOCHS, MAX_EPOCHS + 1, 5 * MAX_EPOCHS + 4])
def test_one_that_is_killed_goes_on_and_trains_no_epoch_twice(
    cut: int, again: SearchSpec, candidates: list[Candidate]
) -> None:
    whole, written = state_of(again, candidates), Written()
    everything = NoisyExecutor()
    drive(whole, everything, [written])
    part, before = Written(), NoisyExecutor(max_reports=cut)
    with pytest.raises(KeyboardInterrupt):
        drive(state_of(again, candidates), before, [part])
    state, after = state_of(again, candidates), NoisyExecutor()
    state.replay_events(part.events)
    drive(state, after, [part])
    assert before.trained + after.trained == everything.trained
    assert _told(part.events) == _told(written.events)


def _told(events: list[Event]) -> list[Event]:
    return [
        dataclasses.replace(event, report=dataclasses.replace(event.report, time=0.0))
        if isinstance(event, Reported)
        else event
        for event in events
        if isinstance(event, Planned | Reported)
    ]


def test_more_seeds_extend_one_that_has_ended(
    again: SearchSpec, candidates: list[Candidate]
) -> None:
    written = Written()
    drive(state_of(again, candidates, most=1, trials=100), NoisyExecutor(), [written])
    state, more = state_of(again, candidates, most=3, trials=100), NoisyExecutor()
    state.replay_events(written.events)
    num_before = len(state.log.trials)
    drive(state, more, [])
    assert num_before < len(state.log.trials)
    assert min(int(trial_id) for trial_id, _ in more.trained) == num_before


def test_seeds_of_repeats_are_kept_and_each_sure_trial_gets_one_on_test(
    searched: TrialLog, again: SearchSpec, candidates: list[Candidate]
) -> None:
    repeats, written = state_of(again, candidates, measures_test=False), Written()
    drive(repeats, NoisyExecutor(measures_test=False), [written])
    num_untested = sum(found.num_untested for found in collect(candidates, repeats.log))
    assert num_untested == len(repeats.log.trials) > 0
    before = result_of(repeats, candidates, searched, [])
    assert not any(trial.test_means for trial in before.trials)
    num_sure = sum(candidate.is_sure for candidate in candidates)
    trials = len(repeats.log.trials) + num_sure
    state = state_of(again, candidates, trials=trials, most=1)
    state.replay_events(written.events)
    drive(state, NoisyExecutor(), [])
    after = result_of(state, candidates, searched, [])
    found = collect(candidates, state.log)
    for candidate, retrained in zip(candidates, found, strict=True):
        reports = [record.last_metrics for record in retrained.records]
        tested = [metrics for metrics in reports if "test_clean_accuracy" in metrics]
        assert len(tested) == int(candidate.is_sure)
        trial = after.trial(candidate.trial_id)
        if trial is not None and candidate.is_sure:
            [metrics] = tested
            mean = trial.test_means["clean_accuracy"].value
            assert mean == pytest.approx(metrics["test_clean_accuracy"])
            assert trial.num_seeds == len(retrained.records) > 1


def test_means_hold_and_the_optimism_of_the_front_is_seen(
    searched: TrialLog, again: SearchSpec, candidates: list[Candidate]
) -> None:
    state = state_of(again, candidates, trials=100, most=8)
    drive(state, NoisyExecutor(), [])
    front = [trial.trial_id for trial in searched.front()]
    result = result_of(state, candidates, searched, front)
    outside = []
    for trial in result.trials:
        truth = metrics_at(searched.trials[trial.trial_id].settings, MAX_EPOCHS)
        for name, mean in trial.means.items():
            outside.append(abs(mean.value - truth[name]) > mean.half_width)
            assert trial.test_means[name].value == pytest.approx(mean.value - 0.02)
    assert np.mean(outside) < 0.25
    assert result.front == result.trials[: len(result.front)]
    assert [trial.is_knee for trial in result.front].count(True) == 1
    for name, gap in result.too_good_on_test.items():
        assert gap.value == pytest.approx(result.too_good[name].value + 0.02)
    values = [trial.best_guesses["clean_accuracy"] for trial in result.front]
    assert values == sorted(values, reverse=True)


def test_a_seed_that_diverges_or_collapses_counts_with_what_it_is_worth(
    again: SearchSpec, candidates: list[Candidate]
) -> None:
    one = dataclasses.replace(candidates[0], metrics={"clean_accuracy": 0.9, "noisy_accuracy": 0.7})
    log = TrialLog(again.objective_set)

    def add(number: int, state: TrialState, clean: float, noisy: float) -> None:
        record = TrialRecord(f"{number:04d}", one.with_seed(number), 0.0, state)
        metrics = {"clean_accuracy": clean, "noisy_accuracy": noisy}
        record.history.append(Report(1, metrics, 1.0))
        log.trials[record.trial_id] = record

    add(0, TrialState.FINISHED, 0.88, 0.71)
    add(1, TrialState.FINISHED, 0.4, 0.7)  # lost more than half of 0.9
    add(2, TrialState.DIVERGED, math.nan, math.nan)
    add(3, TrialState.FAILED, 0.1, 0.1)  # says nothing about the settings
    add(4, TrialState.INTERRUPTED, 0.1, 0.1)
    [retrained] = collect([one], log)
    assert retrained.num_collapsed == 2
    expected = [[-0.88, -0.71], [-0.4, -0.7], [0.0, 0.0]]  # the reference point for the diverged
    np.testing.assert_allclose(retrained.costs, expected)
    result = confirmed([one], log, [one.trial_id], np.zeros((0, 2)))
    assert result is not None
    assert result.trials[0].means["clean_accuracy"].value == pytest.approx(1.28 / 3)


def test_nothing_is_said_while_no_retraining_has_ended(
    again: SearchSpec, candidates: list[Candidate]
) -> None:
    assert confirmed(candidates, TrialLog(again.objective_set), [], np.zeros((0, 2))) is None


def test_new_seeds_depend_on_all_that_names_them() -> None:
    seeds = {
        new_seed(s, trial, k) for s in (0, 1, 7) for trial in ("0000", "0001") for k in range(5)
    }
    assert len(seeds) == 30
    assert new_seed(7, "0001", 3) == new_seed(7, "0001", 3)
    assert all(0 <= seed < MOST_SEEDS for seed in seeds)
