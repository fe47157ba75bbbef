from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from tests.engine.make_search import Simulation, make_decisions, make_spec, metrics_at, new_trial
from tunebox.decisions.method import Verdict
from tunebox.pareto.hypervolume import hypervolume
from tunebox.pareto.objectives import MissingObjectiveError
from tunebox.spec.sample import sample_values
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Values


@pytest.fixture
def studies(monkeypatch: pytest.MonkeyPatch) -> list[optuna.Study]:
    """The studies that are made, lowest rung first."""
    made: list[optuna.Study] = []
    original = optuna.create_study

    def create(**settings: Any) -> optuna.Study:
        made.append(original(**settings))
        return made[-1]

    monkeypatch.setattr(optuna, "create_study", create)
    return made


def kept(study: optuna.Study) -> list[FrozenTrial]:
    """The trials of a study without those that were only there to ask for."""
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if trial.state is not OptunaState.FAIL]


def simulate(spec: SearchSpec, budget: int) -> Simulation:
    """Trials one after the other until ``budget`` epochs are spent."""
    simulation = Simulation(make_decisions(spec), spec.search.max_epochs)
    while simulation.epochs_spent < budget:
        simulation.run_trial()
    return simulation


def volume(spec: SearchSpec, results: list[dict[str, float]]) -> float:
    objectives = spec.objective_set
    costs = np.array([objectives.costs(metrics) for metrics in results])
    return hypervolume(costs, objectives.reference_costs)


def test_same_seed_gives_the_same_search() -> None:
    first, again = (simulate(make_spec(seed=4), 80) for _ in range(2))
    assert first.settings == again.settings
    assert first.epochs == again.epochs
    assert simulate(make_spec(seed=5), 80).settings != first.settings


def test_trials_end_at_rungs_or_at_the_last_epoch() -> None:
    simulation = simulate(make_spec(seed=3), 120)
    assert set(simulation.epochs) == {1, 3, 9}
    by_rung = [sum(e >= epoch for e in simulation.epochs) for epoch in (1, 3, 9)]
    assert by_rung[0] > 1.5 * by_rung[1] > 1.5**2 * by_rung[2]


def test_studies_hold_what_was_measured_at_their_epochs(studies: list[optuna.Study]) -> None:
    spec = make_spec()
    simulation = simulate(spec, 120)
    for study, epoch in zip(studies, (1, 3, 9), strict=True):
        trials = kept(study)
        assert len(trials) == len(simulation.settings)
        for trial, values, reached in zip(
            trials, simulation.settings, simulation.epochs, strict=True
        ):
            assert trial.params == values
            if reached < epoch:
                assert trial.state is OptunaState.PRUNED
                assert trial.values is None
            else:
                assert trial.state is OptunaState.COMPLETE
                expected = spec.objective_set.costs(metrics_at(values, epoch))
                assert trial.values == expected.tolist()


def test_studies_agree_on_the_settings_of_running_trials(studies: list[optuna.Study]) -> None:
    decisions = make_decisions(make_spec())
    asked = [new_trial(decisions, f"t{number}") for number in range(5)]
    for study in studies:
        trials = kept(study)
        assert [trial.params for trial in trials] == asked
        assert {trial.state for trial in trials} == {OptunaState.RUNNING}


def test_last_epoch_is_the_end() -> None:
    decisions = make_decisions(make_spec())
    values = new_trial(decisions, "a")
    verdicts = [decisions.report("a", epoch, metrics_at(values, epoch)) for epoch in range(1, 10)]
    assert verdicts == [Verdict.CONTINUE] * 8 + [Verdict.STOP]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("culprit", ["clean_accuracy", "train_loss"])
@pytest.mark.parametrize("epoch", [1, 2, 9])
def test_diverged_trial_stops_and_counts_as_worst(
    bad: float, culprit: str, epoch: int, studies: list[optuna.Study]
) -> None:
    spec = make_spec()
    decisions = make_decisions(spec)
    values = new_trial(decisions, "a")
    for before in range(1, epoch):
        assert decisions.report("a", before, metrics_at(values, before)) is Verdict.CONTINUE
    verdict = decisions.report("a", epoch, {**metrics_at(values, epoch), culprit: bad})
    assert verdict is Verdict.STOP
    decisions.end("a", failed=True)
    worst = spec.objective_set.reference_costs.tolist()
    for study, rung in zip(studies, (1, 3, 9), strict=True):
        (trial,) = kept(study)
        assert trial.state is OptunaState.COMPLETE
        assert (trial.values == worst) == (rung >= epoch)


def test_diverged_trials_do_not_judge_the_others() -> None:
    decisions = make_decisions(make_spec())
    for number in range(8):
        new_trial(decisions, f"bad{number}")
        decisions.report(f"bad{number}", 1, {"clean_accuracy": math.nan, "noisy_accuracy": 1.0})
        decisions.end(f"bad{number}", failed=True)
    values = new_trial(decisions, "first")
    assert decisions.report("first", 1, metrics_at(values, 1)) is Verdict.CONTINUE


def test_search_of_failures_goes_on(studies: list[optuna.Study]) -> None:
    decisions = make_decisions(make_spec())
    for number in range(30):
        new_trial(decisions, f"t{number}")
        decisions.end(f"t{number}", failed=True)
    for study in studies:
        states = {trial.state for trial in kept(study)}
        assert states == {OptunaState.COMPLETE}


def test_absent_objective_is_an_error() -> None:
    decisions = make_decisions(make_spec())
    new_trial(decisions, "a")
    with pytest.raises(MissingObjectiveError, match="'noisy_accuracy'"):
        decisions.report("a", 1, {"clean_accuracy": 0.5})


def test_interleaved_trials_are_not_mixed_up(studies: list[optuna.Study]) -> None:
    """Trials of several workers, reports in a random order, restarts that repeat an epoch."""
    spec = make_spec()
    decisions, generator = make_decisions(spec), random.Random(0)
    values: dict[str, Values] = {}
    epochs: dict[str, int] = {}
    ended: dict[str, int] = {}
    while len(ended) < 40:
        while len(epochs) < 4:
            trial_id = f"t{len(values)}"
            values[trial_id] = new_trial(decisions, trial_id)
            epochs[trial_id] = 0
        trial_id = generator.choice(list(epochs))
        is_restart = epochs[trial_id] > 1 and generator.random() < 0.1
        epochs[trial_id] += -1 if is_restart else 1
        epoch = epochs[trial_id]
        verdict = decisions.report(trial_id, epoch, metrics_at(values[trial_id], epoch))
        if verdict is Verdict.STOP:
            decisions.end(trial_id, failed=False)
            ended[trial_id] = epochs.pop(trial_id)
    names = list(values)
    for study, rung in zip(studies, (1, 3, 9), strict=True):
        for trial_id, trial in zip(names, kept(study), strict=True):
            assert trial.params == values[trial_id]
            if trial.state is OptunaState.COMPLETE:
                expected = spec.objective_set.costs(metrics_at(values[trial_id], rung))
                assert trial.values == expected.tolist()
            assert (trial.state is OptunaState.RUNNING) <= (trial_id not in ended)


def random_search(spec: SearchSpec, budget: int, seed: int) -> list[dict[str, float]]:
    """Settings drawn at random, each trained to the end."""
    generator = random.Random(seed)
    last = spec.search.max_epochs
    return [metrics_at(sample_values(spec.space, generator), last) for _ in range(budget // last)]


@pytest.mark.slow
def test_finds_more_than_random_search_with_the_same_epochs() -> None:
    budget, seeds = 180, range(6)
    found, at_random = [], []
    for seed in seeds:
        spec = make_spec(seed)
        found.append(volume(spec, simulate(spec, budget).results))
        at_random.append(volume(spec, random_search(spec, budget, seed)))
    assert np.mean(found) > np.mean(at_random)
    assert sum(one > other for one, other in zip(found, at_random, strict=True)) >= 5


@pytest.mark.slow
def test_learns_where_the_good_settings_are() -> None:
    """Late suggestions are nearer to the best learning rate than early ones.

    They are not if the sampler forgets the trials that were stopped: all that finished have a good
    learning rate, so that none among them speaks against a bad one.
    """
    early: list[float] = []
    late: list[float] = []
    for seed in range(3):
        simulation = simulate(make_spec(seed), 200)
        distances = [
            abs(math.log10(float(values["optimizer/lr"] or 0) / 0.03))
            for values in simulation.settings
        ]
        early += distances[:15]
        late += distances[-20:]
    assert np.median(late) < 0.7 * np.median(early)
