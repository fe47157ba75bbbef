"""What holds for every sampler that a search can choose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.engine.make_search import Simulation, make_spec, metrics_at, new_trial
from tunebox.decisions.decisions import Decisions
from tunebox.decisions.method import Verdict
from tunebox.decisions.samplers import MIN_TRIALS
from tunebox.decisions.trials import Report, TrialRecord, TrialState
from tunebox.pareto.constraints import Constraint, Constraints
from tunebox.spec.space import Choice, Values

SAMPLERS = ["tpe", "nsga2", pytest.param("gp", marks=pytest.mark.slow), "qmc", "random"]
ACCURATE = Constraints([Constraint("clean_accuracy", 0.6, None)])


def decisions_of(name: str, seed: int = 0, **more: Any) -> Decisions:
    spec = make_spec(seed)
    search = spec.search.model_copy(update={"sampler": name})
    return Decisions(spec.space, spec.objective_set, search, **more)


def run(decisions: Decisions, count: int) -> Simulation:
    simulation = Simulation(decisions, 9)
    for _ in range(count):
        simulation.run_trial()
    return simulation


def check_values(values: Values) -> None:
    leaves = make_spec().space.leaves
    assert set(values) == {leaf.path for leaf in leaves if leaf.is_active(values)}
    for leaf in leaves:
        if leaf.path in values:
            value, distribution = values[leaf.path], leaf.distribution
            assert distribution.accept(value) == value
            if not isinstance(distribution, Choice):
                assert isinstance(value, int if distribution.integer else float)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLERS)
def test_suggestions_are_active_leaves_within_their_ranges(name: str) -> None:
    simulation = run(decisions_of(name), 30)
    for values in simulation.settings:
        check_values(values)
    assert len({values["losses"] for values in simulation.settings}) == 3
    assert len({values["optimizer/lr"] for values in simulation.settings}) > 8


@pytest.mark.parametrize("name", SAMPLERS)
def test_same_seed_gives_the_same_search(name: str) -> None:
    first = run(decisions_of(name, seed=4), 25)
    assert run(decisions_of(name, seed=4), 25).settings == first.settings
    assert run(decisions_of(name, seed=5), 25).settings != first.settings


def interleaved(decisions: Decisions, known: list[tuple[str, Values]], count: int) -> list[Values]:
    """Two trials at a time, the first of them ``known`` and adopted, the others suggested."""
    settings: list[Values] = []
    running: dict[str, int] = {}
    order = np.random.default_rng(0)
    while len(settings) < count:
        while len(running) < 2:
            trial_id = f"{len(settings):04d}"
            if len(settings) < len(known):
                assert known[len(settings)][0] == trial_id
                settings.append(known[len(settings)][1])
                decisions.adopt(trial_id, settings[-1])
            else:
                settings.append(new_trial(decisions, trial_id))
            running[trial_id] = 0
        trial_id = str(order.choice(list(running)))
        running[trial_id] += 1
        metrics = metrics_at(settings[int(trial_id)], running[trial_id])
        if decisions.report(trial_id, running[trial_id], metrics) is Verdict.STOP:
            decisions.end(trial_id, failed=int(trial_id) % 7 == 3)
            del running[trial_id]
    return settings


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("num_known", [1, 13, 29])
def test_a_search_taken_over_goes_on_as_if_nothing_had_happened(name: str, num_known: int) -> None:
    start: tuple[Values, ...] = ({"losses": "stability", "optimizer/lr": 0.03},)
    more: dict[str, Any] = {"constraints": ACCURATE, "start": start}
    undisturbed = interleaved(decisions_of(name, **more), [], 32)
    known = [(f"{n:04d}", values) for n, values in enumerate(undisturbed[:num_known])]
    assert interleaved(decisions_of(name, **more), known, 32) == undisturbed


@pytest.mark.parametrize("name", SAMPLERS)
def test_starting_points_come_first_and_are_completed(name: str) -> None:
    start: tuple[Values, ...] = (
        {"losses": "stability", "losses/stability/stability/weight": 0.5},
        {"optimizer/lr": 0.25},
        {"losses": "clean_only", "optimizer/momentum": 0.9, "model/depth": 3},
    )
    simulation = run(decisions_of(name, start=start), 4)
    for given, values in zip(start, simulation.settings, strict=False):
        check_values(values)
        assert values.items() >= given.items()
    assert simulation.settings[3]["optimizer/lr"] != 0.25


def test_sobol_points_are_spread_evenly() -> None:
    settings = run(decisions_of("qmc", seed=3), 64).settings
    exponents = np.log10([float(values["optimizer/lr"] or 0) for values in settings])
    counts, _ = np.histogram(exponents, bins=16, range=(-4, 0))
    assert counts.tolist() == [4] * 16  # a net in base 2 has as many points in each interval


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tpe", "nsga2", "gp"])
def test_learns_from_what_was_reported(name: str) -> None:
    distances = []
    for seed in range(3):
        settings = run(decisions_of(name, seed), 60).settings
        rates = [float(values["optimizer/lr"] or 0) for values in settings]
        distances.append(np.abs(np.log10(np.array(rates) / 0.03)))
    early = np.median([d[:MIN_TRIALS] for d in distances])
    late = np.median([d[-20:] for d in distances])
    assert late < 0.7 * early


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tpe", "nsga2", "gp"])
def test_constraints_steer_the_sampler(name: str) -> None:
    """Under a constraint that only small networks keep, more of them are suggested."""
    shares = []
    for constraints in (Constraints(), Constraints([Constraint("width", None, 8.0)])):
        small = 0
        for seed in range(2):
            decisions = decisions_of(name, seed, constraints=constraints)
            for number in range(40):
                values = new_trial(decisions, f"{number}")
                epoch, verdict = 0, Verdict.CONTINUE
                while verdict is Verdict.CONTINUE:
                    epoch += 1
                    metrics = metrics_at(values, epoch)
                    metrics["width"] = float(values["model/width"] or 0)
                    verdict = decisions.report(f"{number}", epoch, metrics)
                decisions.end(f"{number}", failed=False)
                small += number >= 20 and metrics["width"] <= 8
        shares.append(small / 40)
    assert shares[1] > shares[0] + 0.2


def earlier_trials(count: int) -> list[TrialRecord]:
    """Trials of an earlier search, all at a learning rate of 0.03 or far from it."""
    trials = []
    for number, values in enumerate(run(decisions_of("random", seed=9), count).settings):
        values = {**values, "optimizer/lr": 0.03 if number % 2 else 1e-4}
        history = [Report(epoch, metrics_at(values, epoch), 0.0) for epoch in range(1, 10)]
        trial = TrialRecord(f"{number}", values, 0.0, TrialState.FINISHED, history, end_time=1.0)
        trials.append(trial)
    return trials


@pytest.mark.parametrize("name", ["tpe", "nsga2", pytest.param("gp", marks=pytest.mark.slow)])
def test_a_warm_start_is_learnt_from(name: str) -> None:
    cold, warm = decisions_of(name), decisions_of(name)
    for trial in earlier_trials(30):
        warm.learn(trial)
    medians = []
    for decisions in (cold, warm):
        values = [new_trial(decisions, f"{number}") for number in range(8)]
        rates = np.array([float(v["optimizer/lr"] or 0) for v in values])
        medians.append(np.median(np.abs(np.log10(rates / 0.03))))
    assert medians[1] < 0.6 * medians[0]


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_warm_start_judges_no_trial(name: str) -> None:
    decisions = decisions_of(name)
    for trial in earlier_trials(12):
        decisions.learn(trial)
    new_trial(decisions, "0000")
    poor = {"clean_accuracy": 0.0, "noisy_accuracy": 0.0}
    verdict = decisions.report("0000", 1, poor)
    assert verdict is Verdict.CONTINUE  # the first at its rung, whatever came before
