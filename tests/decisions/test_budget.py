from __future__ import annotations

from typing import Any

import pytest

from tests.engine.make_search import SEARCH_FILE
from tests.records.make_log import OBJECTIVES, make_trial
from tunebox.decisions.budget import Budget
from tunebox.decisions.events import Ended, Planned, Reported, Started
from tunebox.decisions.state import SearchState
from tunebox.decisions.trials import Report, TrialLog, TrialRecord, TrialState
from tunebox.pareto.constraints import Constraint, Constraints
from tunebox.spec.load import spec_from_source
from tunebox.spec.search_settings import HypervolumeStalls, SearchSettings, StopWhen
from tunebox.spec.space import Values
from tunebox.spec.yaml_source import parse_yaml

VALUES: Values = {
    **{"model/width": 8, "model/depth": 2, "losses": "clean_only"},
    **{"optimizer/lr": 0.1, "optimizer/momentum": 0.5},
}
STALLS = StopWhen(hypervolume_stalls=HypervolumeStalls(trials=2, tolerance=0.1))


def test_epochs_of_all_trials_are_counted() -> None:
    budget = Budget(SearchSettings(epochs=3), TrialLog(OBJECTIVES))
    for _ in range(2):
        budget.reported()
        assert budget.spent(1e9) is None
    budget.reported()
    assert budget.spent(0.0) == "the budget of 3 epochs is spent"


def test_time_is_given() -> None:
    budget = Budget(SearchSettings(time_budget=2.5), TrialLog(OBJECTIVES))
    assert budget.spent(2.4) is None
    assert budget.spent(2.5) == "the time budget of 2.5 s is spent"


def test_the_options_that_a_resume_needs_are_named() -> None:
    log = TrialLog(OBJECTIVES)
    assert Budget(SearchSettings(), log).go_on() == "goes on"
    limited = Budget(SearchSettings(epochs=2, time_budget=60), log)
    assert limited.go_on() == "goes on for 60 s, or --time-budget SECONDS"
    for _ in range(3):  # trials side by side report once more than the budget
        limited.reported()
    assert limited.go_on() == "with --epochs N, N above the 3 that are spent"
    stalled = Budget(SearchSettings(stop_when=STALLS, time_budget=60), log)
    for number in range(3):
        stalled.ended(make_trial(f"{number}", 0.5, 1.1))
    assert stalled.spent(0.0) is not None
    assert stalled.go_on() == "with stop_when changed or taken out in its search.yaml"


def test_repeats_get_a_part_of_either_budget() -> None:
    search = SearchSettings(epochs=13, time_budget=130, repeats=2)
    budget = Budget(search, TrialLog(OBJECTIVES))
    assert budget.spent(99.9) is None
    rest = ", but for what the repeats get"
    assert budget.spent(100.1) == f"the time budget of 130 s is spent{rest}"
    for _ in range(10):
        budget.reported()
    assert budget.spent(0.0) == f"the budget of 13 epochs is spent{rest}"
    assert budget.go_on() == "with --epochs N, N above 13, of which the repeats get a part"
    assert SearchSettings(epochs=14, repeats=2).epochs_of_trials == 10
    assert SearchSettings(epochs=15, repeats=2).epochs_of_trials == 11  # which goes on


def ends(volumes: list[float], search: SearchSettings) -> list[bool]:
    """Whether the search is to end after each trial; the reference point is (0, 0.1)."""
    log = TrialLog(OBJECTIVES)
    budget = Budget(search, log)
    spent = []
    for number, volume in enumerate(volumes):
        trial = make_trial(f"{number}", volume, 1.1)
        log.trials[trial.trial_id] = trial
        budget.ended(trial)
        spent.append(budget.spent(0.0) is not None)
    return spent


@pytest.mark.parametrize(
    ("volumes", "expected"),
    [
        # two trials before the last one there was no front: anything is more
        ([0.5, 0.5, 0.5], [False, False, True]),
        ([0.5, 0.1, 0.56, 0.1, 0.1], [False, False, False, False, True]),
        ([0.5, 0.52, 0.54], [False, False, True]),
        ([0.5, 0.52, 0.56], [False, False, False]),
        ([0.0, 0.0, 0.0, 0.0], [False] * 4),
        ([0.1, 0.2, 0.3, 0.4, 0.45, 0.45], [False] * 6),
    ],
)
def test_stalls_when_the_last_trials_raised_the_hypervolume_too_little(
    volumes: list[float], expected: list[bool]
) -> None:
    assert ends(volumes, SearchSettings(stop_when=STALLS)) == expected


def test_the_reason_says_what_stalled() -> None:
    log = TrialLog(OBJECTIVES)
    budget = Budget(SearchSettings(stop_when=STALLS), log)
    for number in range(3):
        budget.ended(make_trial(f"{number}", 0.5, 0.6))
    assert budget.spent(0.0) == (
        "the hypervolume stalls: the last 2 trials raised it by less than 0.1 of 0.25"
    )


def test_only_what_can_be_on_the_front_counts() -> None:
    log = TrialLog(OBJECTIVES, Constraints([Constraint("clean_accuracy", 0.5, None)]))
    budget = Budget(SearchSettings(stop_when=STALLS), log)
    budget.ended(make_trial("0", 0.5, 0.2))
    budget.ended(make_trial("1", 0.49, 0.9))  # breaks the constraint
    budget.ended(TrialRecord("2", {}, 0.0, TrialState.FAILED))
    assert budget.spent(0.0) is not None


def test_ends_when_the_model_expects_less_than_a_share_of_the_hypervolume() -> None:
    log = TrialLog(OBJECTIVES)
    search = SearchSettings(sampler="gp", stop_when=StopWhen(expected_gain=0.1))
    budget = Budget(search, log)
    # the hypervolume is 0.5 * 0.5 from the first end on; the mean of eight gains is compared
    gains = [None, *[0.04] * 4, 0.01, 0.01, 0.01, 0.02, 0.0, 0.08, 0.0]
    spent = []
    for number, gain in enumerate(gains):
        trial = make_trial(f"{number}", 0.5, 0.6)
        trial.expected_gain = gain
        log.trials[trial.trial_id] = trial
        budget.ended(trial)
        spent.append(budget.spent(0.0))
    assert [reason is not None for reason in spent] == [False] * 9 + [True, False, True]
    assert spent[9] == (
        "100 epochs more are expected to raise the hypervolume 0.25 by 0.021, less than 0.1 of it"
    )
    assert budget.go_on() == "with stop_when changed or taken out in its search.yaml"


def test_nothing_expected_ends_no_search_without_a_front() -> None:
    log = TrialLog(OBJECTIVES)
    budget = Budget(SearchSettings(sampler="gp", stop_when=StopWhen(expected_gain=0.1)), log)
    for number in range(9):
        trial = log.trials[f"{number}"] = TrialRecord(f"{number}", {}, 0.0, TrialState.FAILED)
        trial.expected_gain = 0.0
        budget.ended(trial)
    assert budget.spent(0.0) is None


def resumed(ends: list[TrialState], **settings: Any) -> Budget:
    """The budget of a search whose journal has trials of four epochs, all equally good."""
    spec = spec_from_source(parse_yaml(SEARCH_FILE, "made.yaml"), settings)
    state, metrics = SearchState.of(spec), {"clean_accuracy": 0.5, "noisy_accuracy": 0.2}
    for number, end in enumerate(ends):
        trial_id = f"{number:04d}"
        state.apply(Planned(trial_id, VALUES))
        state.apply(Started(trial_id, 1.0))
        for epoch in range(1, 5):
            state.apply(Reported(trial_id, Report(epoch, metrics, 1.0), None))
        state.apply(Ended(trial_id, end, None, 1e9))
    return state.budget


def test_an_earlier_run_counts_but_for_its_time() -> None:
    ends = [TrialState.FINISHED] * 3
    assert resumed(ends, epochs=12).spent(0.0) is not None
    assert resumed(ends, epochs=13, time_budget=60).spent(0.0) is None
    assert resumed(ends, stop_when=STALLS).spent(0.0) is not None


def test_trials_that_will_end_once_more_do_not_count_towards_a_stall() -> None:
    ends = [TrialState.FINISHED] + [TrialState.INTERRUPTED] * 5
    assert resumed(ends, stop_when=STALLS).spent(0.0) is None
