from __future__ import annotations

import functools
import math

import pytest

from tests.engine.make_recording import made_recording
from tests.engine.make_search import make_spec
from tests.pareto import brute_force
from tests.pareto.brute_force import shuffled
from tunebox.decisions.method import Verdict
from tunebox.decisions.trials import TrialState
from tunebox.engine.efficiency import BUDGET_SHARES, GOALS, Efficiency
from tunebox.engine.recorded import Replay, replay

ablations = pytest.importorskip("benchmarks.ablations", exc_type=ImportError)

every_variant = pytest.mark.parametrize("variant", list(ablations.VARIANTS))


def run(variant: str) -> Replay:
    spec = make_spec(seed=1)
    method = ablations.VARIANTS[variant](spec.space, spec.objective_set, spec.search)
    return replay(method, made_recording(), num_workers=3, max_epochs=100)


first_run = functools.lru_cache(run)


@every_variant
def test_every_variant_runs_and_ends_trials_where_it_should(variant: str) -> None:
    result = first_run(variant)
    trials = list(result.log.trials.values())
    assert result.log.epochs_spent == 100
    at_a_rung = (TrialState.STOPPED, TrialState.PAUSED)
    stopped = {trial.epochs for trial in trials if trial.state in at_a_rung}
    assert stopped <= {1, 3}
    assert bool(stopped) == (variant != "no rungs")


@every_variant
def test_same_seed_gives_the_same_search(variant: str) -> None:
    assert run(variant).log.trials == first_run(variant).log.trials


def test_variants_differ_from_tunebox() -> None:
    # what rarely matters among so few trials
    alike = ("inside a front", "stopped by rank")
    compared = [name for name in ablations.VARIANTS if not name.startswith(alike)]
    searches = {str(first_run(variant).log.trials) for variant in compared}
    assert len(searches) == len(compared)


@pytest.mark.parametrize("num_objectives", [1, 2, 3])
def test_best_are_those_of_the_lowest_rank_and_the_most_isolated(num_objectives: int) -> None:
    costs = shuffled(20, num_objectives, seed=num_objectives)
    rung = {f"t{n}": row for n, row in enumerate(costs)}
    assert ablations.best_first(rung) == [f"t{n}" for n in brute_force.spreading_order(costs)]
    assert ablations.best_first({}) == []


def test_promotion_by_hand() -> None:
    """One in three goes on from each rung, and only what is among the best at that moment."""
    spec = make_spec()
    method = ablations.Promotion(spec.space, spec.objective_set, spec.search)

    def report(trial_id: str, epoch: int, accuracy: float) -> Verdict:
        metrics = {"clean_accuracy": accuracy, "noisy_accuracy": accuracy}
        return Verdict(method.report(trial_id, epoch, metrics))

    def promoted() -> str | None:
        trial_id = method.choose_paused()
        assert method.choose_paused() == trial_id  # to choose changes nothing
        if trial_id is not None:
            method.promote(trial_id)
        return None if trial_id is None else str(trial_id)

    for trial_id, accuracy in [("a", 0.2), ("b", 0.6)]:
        method.adopt(trial_id, method.suggest(trial_id))
        assert report(trial_id, 1, accuracy) is Verdict.PAUSE
        assert promoted() is None  # one in three of two is none
    for trial_id, accuracy in [("c", 0.4), ("d", 0.8), ("e", 0.1), ("f", 0.3)]:
        method.adopt(trial_id, method.suggest(trial_id))
        report(trial_id, 1, accuracy)
    assert [promoted() for _ in range(3)] == ["d", "b", None]
    assert report("d", 2, 0.8) is Verdict.CONTINUE
    assert report("d", 3, 0.8) is Verdict.PAUSE
    assert promoted() is None


def test_table_compares_seed_by_seed(capsys: pytest.CaptureFixture[str]) -> None:
    def reached(mean: float) -> Efficiency:
        return Efficiency(mean, (0.5,) * len(BUDGET_SHARES), (math.inf,) * len(GOALS), 7)

    means = {ablations.TUNEBOX: [0.5, 0.75, 0.25], "other": [0.75, 0.5, 0.75]}
    runs = [
        (ablations.Job("", variant, seed, 1, 1), reached(means[variant][seed]))
        for seed in (2, 0, 1)
        for variant in means
    ]
    ablations.print_table(runs, budget=8)
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[-2:] for row in rows] == [["50.0", " |"], ["66.7", "+16.67 (2) |"]]
