"""What the sampler is told and what it suggests, seen in Optuna's own studies."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from tests.engine.make_search import make_spec
from tunebox.decisions.sampler import RungSampler
from tunebox.decisions.samplers import MIN_TRIALS
from tunebox.decisions.trials import TrialState
from tunebox.spec.space import Choice, Space, Values
from tunebox.spec.yaml_source import parse_yaml

EPOCHS = (1, 3, 9)
WORST = np.array([0.25, 3.0])

Studies = dict[int, optuna.Study]


@pytest.fixture
def studies(monkeypatch: pytest.MonkeyPatch) -> Studies:
    """The studies that the sampler makes, by epoch, in the order of the epochs."""
    made: list[optuna.Study] = []
    by_epoch: Studies = {}
    original: Callable[..., optuna.Study] = optuna.create_study

    def create(**settings: Any) -> optuna.Study:
        made.append(original(**settings))
        by_epoch[EPOCHS[len(made) - 1]] = made[-1]
        return made[-1]

    monkeypatch.setattr(optuna, "create_study", create)
    return by_epoch


@pytest.fixture
def sampler(studies: Studies) -> RungSampler:
    return RungSampler(make_spec().space, EPOCHS, WORST, seed=0)


def tell(sampler: RungSampler, trial_id: str, epoch: int, *costs: float) -> None:
    sampler.tell(trial_id, epoch, np.array(costs))


def kept(study: optuna.Study) -> list[FrozenTrial]:
    """The trials of a study without those that were only there to ask for."""
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if trial.state is not OptunaState.FAIL]


def trials(study: optuna.Study, state: OptunaState) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(state,))


def asked(sampler: RungSampler, trial_id: str) -> Values:
    """Settings for a trial that then runs."""
    values = sampler.ask(trial_id)
    sampler.adopt(trial_id, values)
    return values


def run(sampler: RungSampler, trial_id: str, until: int, costs: float) -> Values:
    values = asked(sampler, trial_id)
    for epoch in range(1, until + 1):
        tell(sampler, trial_id, epoch, costs, -costs)
    sampler.end(trial_id, failed=False)
    return values


def test_suggestions_are_the_active_leaves_within_their_ranges(sampler: RungSampler) -> None:
    space = make_spec().space
    seen = set()
    for number in range(40):
        values = asked(sampler, f"t{number}")
        seen.add(values["losses"])
        assert set(values) == {leaf.path for leaf in space.leaves if leaf.is_active(values)}
        for leaf in space.leaves:
            if leaf.path not in values:
                continue
            value, distribution = values[leaf.path], leaf.distribution
            if isinstance(distribution, Choice):
                assert value in distribution.options
            else:
                assert isinstance(value, int if distribution.integer else float)
                assert distribution.low <= float(value) <= distribution.high
    assert seen == {"clean_only", "noisy_only", "stability"}


def test_a_running_trial_runs_in_every_study(sampler: RungSampler, studies: Studies) -> None:
    values = asked(sampler, "a")
    for study in studies.values():
        (trial,) = kept(study)
        assert trial.state is OptunaState.RUNNING
        assert trial.params == values


def test_each_study_holds_what_was_measured_at_its_epoch(
    sampler: RungSampler, studies: Studies
) -> None:
    asked(sampler, "a")
    for epoch in range(1, 10):
        tell(sampler, "a", epoch, float(epoch), -float(epoch))
    sampler.end("a", failed=False)
    for epoch, study in studies.items():
        (trial,) = kept(study)
        assert trial.state is OptunaState.COMPLETE
        assert trial.values == [epoch, -epoch]


def test_stopped_trial_is_complete_nowhere_above_its_rung(
    sampler: RungSampler, studies: Studies
) -> None:
    for number in range(25):
        run(sampler, f"t{number}", until=3 if number % 2 else 1, costs=float(number))
    assert len(trials(studies[1], OptunaState.COMPLETE)) == 25
    assert len(trials(studies[3], OptunaState.COMPLETE)) == 12
    assert trials(studies[9], OptunaState.COMPLETE) == []
    for study in studies.values():
        assert trials(study, OptunaState.RUNNING) == []


def test_of_very_many_stopped_trials_a_study_keeps_some_of_every_time(
    sampler: RungSampler, studies: Studies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[RungSampler.__module__], "MAX_STOPPED", 10)
    values = asked(sampler, "first")
    for number in range(100):
        sampler.adopt(f"t{number}", values)
        tell(sampler, f"t{number}", 1, 0.5, 0.5)
        sampler.end(f"t{number}", failed=False)
    assert len(trials(studies[1], OptunaState.COMPLETE)) == 100
    kept = [trial.number for trial in trials(studies[3], OptunaState.PRUNED)]  # the first is 1
    # all up to 9, every second up to 19, every third up to 29, ..
    assert kept[:9] == list(range(1, 10))
    assert kept[9:14] == [10, 12, 14, 16, 18]
    assert kept[14:] == [21, 24, 27, 32, 36, 40, 45, 54, 63, 72, 81, 90]
    assert len(trials(studies[3], OptunaState.FAIL)) == 100 - len(kept)


@pytest.mark.parametrize("until", [0, 1, 2, 3, 8])
def test_failed_trial_counts_as_worst_where_it_never_came(
    sampler: RungSampler, studies: Studies, until: int
) -> None:
    asked(sampler, "a")
    for epoch in range(1, until + 1):
        tell(sampler, "a", epoch, 0.125, 0.5)
    sampler.end("a", failed=True)
    for epoch, study in studies.items():
        (trial,) = kept(study)
        assert trial.state is OptunaState.COMPLETE
        assert trial.values == ([0.125, 0.5] if epoch <= until else WORST.tolist())


def test_failed_trial_is_no_better_than_any_that_was_measured(
    sampler: RungSampler, studies: Studies
) -> None:
    run(sampler, "bad", until=1, costs=7.5)
    asked(sampler, "a")
    sampler.end("a", failed=True)
    bad, failed = kept(studies[1])
    assert failed.values == np.maximum(bad.values, WORST).tolist() == [7.5, WORST[1]]
    assert kept(studies[9])[-1].values == WORST.tolist()


def test_an_earlier_trial_enters_the_studies_of_the_epochs_it_has(
    sampler: RungSampler, studies: Studies
) -> None:
    def num_complete() -> dict[int, int]:
        complete = OptunaState.COMPLETE
        return {epoch: len(trials(study, complete)) for epoch, study in studies.items()}

    (values, costs) = sampler.ask("a"), (np.zeros(2), np.zeros(0))
    sampler.learn(values, {epoch: costs for epoch in range(1, 4)}, TrialState.FINISHED)
    assert num_complete() == {1: 1, 3: 1, 9: 0}
    sampler.learn(values, {1: costs, 3: costs, 9: costs}, TrialState.FINISHED)
    assert num_complete() == {1: 2, 3: 2, 9: 1}


def test_failures_make_no_model(sampler: RungSampler, studies: Studies) -> None:
    for number in range(3 * MIN_TRIALS):
        asked(sampler, f"t{number}")
        sampler.end(f"t{number}", failed=True)
    # asked for no more than the first settings, which are spread evenly
    assert all(
        len(study.get_trials(deepcopy=False)) == 3 * MIN_TRIALS for study in studies.values()
    )


def test_the_end_of_an_unknown_or_ended_trial_is_ignored(
    sampler: RungSampler, studies: Studies
) -> None:
    sampler.end("unknown", failed=True)
    run(sampler, "a", until=1, costs=0.5)
    sampler.end("a", failed=True)
    assert len(trials(studies[1], OptunaState.COMPLETE)) == 1
    assert trials(studies[9], OptunaState.COMPLETE) == []


def test_an_epoch_reported_again_after_a_restart_is_ignored(
    sampler: RungSampler, studies: Studies
) -> None:
    asked(sampler, "a")
    tell(sampler, "a", 1, 0.5, 0.5)
    tell(sampler, "a", 1, 0.75, 0.75)
    assert kept(studies[1])[0].values == [0.5, 0.5]


def test_highest_study_with_enough_trials_is_asked(
    sampler: RungSampler, studies: Studies, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies_asked: list[int] = []
    for epoch, study in studies.items():
        original = study.ask

        def ask(epoch: int = epoch, original: Callable[[], Any] = original) -> Any:
            studies_asked.append(epoch)
            return original()

        monkeypatch.setattr(study, "ask", ask)
    for number in range(3 * MIN_TRIALS):
        run(sampler, f"t{number}", until=EPOCHS[number // MIN_TRIALS], costs=float(number))
    asked(sampler, "next")
    # ten trials that end at epoch 1, asked of no model; ten at epoch 3, ten at epoch 9
    assert studies_asked == [1] * MIN_TRIALS + [3] * MIN_TRIALS + [9]


def suggestions(seed: int, count: int = 30) -> list[Values]:
    sampler = RungSampler(make_spec().space, EPOCHS, WORST, seed)
    return [run(sampler, f"t{n}", until=(1, 3, 9)[n % 3], costs=float(n % 7)) for n in range(count)]


def test_same_seed_and_reports_give_the_same_suggestions() -> None:
    first = suggestions(seed=1)
    assert suggestions(seed=1) == first
    assert suggestions(seed=2) != first
    assert len({str(values) for values in first}) == len(first)  # and not the same one for ever


def test_several_running_trials_get_different_settings() -> None:
    sampler = RungSampler(make_spec().space, EPOCHS, WORST, seed=0)
    for number in range(12):
        run(sampler, f"t{number}", until=9, costs=float(number))
    at_once = [asked(sampler, f"r{number}") for number in range(6)]
    assert len({values["optimizer/lr"] for values in at_once}) == 6


@pytest.mark.parametrize("num_objectives", [1, 2, 3, 4])
def test_any_number_of_objectives(num_objectives: int) -> None:
    generator = np.random.default_rng(0)
    sampler = RungSampler(make_spec().space, (1, 2), np.ones(num_objectives), seed=0)
    for number in range(15):
        asked(sampler, f"t{number}")
        sampler.tell(f"t{number}", 1, generator.random(num_objectives))
        sampler.end(f"t{number}", failed=number % 5 == 0)


def test_options_of_every_type_come_back_as_they_were() -> None:
    source = parse_yaml("x: {choice: [null, true, 2, 0.5, word]}", "made.yaml")
    sampler = RungSampler(Space(source.data, source), (1, 3), WORST, seed=0)
    options = {asked(sampler, f"t{number}")["x"] for number in range(60)}
    assert {(type(option), option) for option in options} == {
        (type(option), option) for option in (None, True, 2, 0.5, "word")
    }
