"""Searches on problems with a known truth: what they are scored by, and the table."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunebox.decisions.method import SearchMethod, Verdict
from tunebox.pareto.hypervolume import hypervolume
from tunebox.spec.sample import sample_values
from tunebox.spec.space import Values

pytest.importorskip("benchmarks.peers", reason="needs the extra bench", exc_type=ImportError)

from benchmarks import known_truth, lcbench
from benchmarks.known_truth import Job, table
from benchmarks.problems import Played, play
from benchmarks.smooth import SmoothProblem
from benchmarks.true_front import find_truth
from tests.benchmarks.made_problem import MadeProblem
from tests.engine.make_recording import made_recording
from tests.engine.make_search import make_spec


class Random(SearchMethod):
    """Settings at random, stopped at epoch 2 unless their first reported cost is below a half."""

    def __init__(self, problem: MadeProblem) -> None:
        self.space, self.generator = problem.space, random.Random(3)
        self.settings: dict[str, Values] = {}
        self.reported: dict[str, list[Mapping[str, float]]] = {}

    def suggest(self, trial_id: str) -> Values:
        self.settings[trial_id] = sample_values(self.space, self.generator)
        return self.settings[trial_id]

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> Verdict:
        self.reported.setdefault(trial_id, []).append(metrics)
        return Verdict.CONTINUE if epoch < 2 or metrics["a"] < 0.5 else Verdict.STOP

    def end(self, trial_id: str, failed: bool) -> None:
        pass


def test_without_noise_every_report_counts() -> None:
    problem = MadeProblem()
    method = Random(problem)
    played = play(method, problem, workers=3, budget=30, seed=0)
    costs = [
        problem.true_costs([method.settings[trial_id]], list(range(1, len(reports) + 1)))[0]
        for trial_id, reports in method.reported.items()
    ]
    expected = hypervolume(np.concatenate(costs), np.ones(2)) / problem.best_hypervolume
    assert len(played.shares) == 30
    assert played.shares[-1] == pytest.approx(expected)
    assert (np.diff(played.shares) >= 0).all()
    assert len(played.suggestion_seconds) >= len(method.reported)


def test_with_noise_the_printed_front_counts_by_its_truth() -> None:
    problem = MadeProblem(noise=0.3)
    method = Random(problem)
    played = play(method, problem, workers=1, budget=40, seed=0)
    ended = list(method.reported)[: -1 if len(list(method.reported.values())[-1]) < 2 else None]
    reported = [np.array([list(method.reported[t][-1].values())[:2]]) for t in ended]
    true = [problem.true_costs([method.settings[t]], [len(method.reported[t])])[0] for t in ended]
    points, truths = np.concatenate(reported), np.concatenate(true)
    is_printed = [not (points < point).all(axis=1).any() for point in points]
    expected = hypervolume(truths[is_printed], np.ones(2)) / problem.best_hypervolume
    assert played.shares[-1] == pytest.approx(expected)
    assert not np.allclose(points, truths)


def test_same_seed_has_the_same_noise_and_every_training_its_own() -> None:
    problem = MadeProblem(noise=0.3)
    methods = [Random(problem) for _ in range(3)]
    for method, seed in zip(methods, (0, 0, 1), strict=True):
        play(method, problem, workers=2, budget=20, seed=seed)
    assert methods[0].reported == methods[1].reported
    assert methods[0].reported != methods[2].reported
    first = problem.train(methods[0].settings["0000"], np.random.default_rng([0, 0]))
    again = problem.train(methods[0].settings["0000"], np.random.default_rng([0, 1]))
    assert not np.allclose(first.costs, again.costs)


def test_evolution_finds_the_front_of_all_branches() -> None:
    problem = MadeProblem()
    truth = find_truth(problem, num_random=1000, generations=15, children=100)
    sample = [sample_values(problem.space, random.Random(n)) for n in range(2000)]
    middle = np.median(problem.true_costs(sample, [4])[:, 0], axis=0)
    assert truth.reference == pytest.approx(middle, abs=0.05)
    side = truth.reference.sum() - 1  # of the triangle between the line and the reference
    assert truth.hypervolume == pytest.approx(side**2 / 2, rel=0.05)


@pytest.mark.parametrize("method", ["tunebox, sampler gp", "random"])
def test_a_job_runs_a_method_on_the_problem_of_its_process(method: str) -> None:
    known_truth.set_problem(MadeProblem())
    played = known_truth.run(Job(method, seed=0, workers=2, budget=24))
    assert 0 < played.shares[-1] <= 1
    assert len(played.shares) == 24


def made_played(*shares: float) -> Played:
    return Played(np.array(shares), np.array([0.001, 0.002]), 2)


def test_the_table_counts_epochs_to_what_the_best_peer_has() -> None:
    searches = {
        "tunebox": [made_played(0.3, 0.6, 0.6, 0.9), made_played(0.1, 0.2, 0.3, 0.4)],
        "good": [made_played(0.1, 0.2, 0.595, 0.6), made_played(0.1, 0.2, 0.3, 0.6)],
        "random": [made_played(0.1, 0.1, 0.1, 0.5)] * 2,
    }
    headings, _, ours, good, at_random = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table(searches, 4)
    ]
    assert headings[5:7] == ["to 60.0%, the best peer's end", "to 59.4%, 99 % of it"]
    assert ours[5:7] == ["> 4 (1/2)", "> 4 (1/2)"]
    assert good[4:7] == ["60.0% [60%, 60%]", "4 (2/2)", "4 (2/2)"]
    assert at_random[4] == "50.0% [50%, 50%]"
    assert "the best peer" not in table({"tunebox": searches["tunebox"]}, 4)[0]


@pytest.mark.slow
def test_a_smooth_model_of_a_recording_is_a_problem() -> None:
    recording = made_recording()
    few = {"num_random": 500, "generations": 10, "children": 50}
    problem = SmoothProblem("made", make_spec().space, recording, **few)
    assert min(problem.fit_of_held_out) > 0.5
    whole = [t for t in recording.trials if len(t.history) == 9]
    found = problem.true_costs([t.settings for t in whole], [9])[:, 0]
    recorded = np.array([recording.objectives.costs(t.history[-1].metrics) for t in whole])
    assert np.abs(found - recorded).mean() < 0.05
    one, two = (problem.train(whole[0].settings, np.random.default_rng(n)) for n in (0, 1))
    np.testing.assert_array_equal(one.true_costs, two.true_costs)
    assert 0 < np.abs(one.costs - two.costs).max() < 0.05
    assert problem.best_hypervolume >= hypervolume(found, problem.objectives.reference_costs)


class MadeSurrogate:
    """Accuracy grows with the epoch and the task's code; cross-entropy falls with it."""

    def run(self, _: None, inputs: dict[str, Any]) -> list[Any]:
        epochs, codes = inputs["x_cont"][:, 0], inputs["x_cat"][:, 0]
        assert inputs["x_cont"].shape == (len(epochs), 8)
        return [np.stack([epochs, 70 + epochs / 2 + codes, 1 / epochs, *[epochs * 0] * 3], axis=1)]


def test_lcbench_asks_the_surrogate_for_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = '{"OpenML_task_id": {"167104": 6, "189908": 31, "167152": 8}}'
    (tmp_path / "encoding.json").write_text(codes, encoding="utf-8")
    monkeypatch.setattr(lcbench, "_session", lambda file: MadeSurrogate())
    pair = lcbench.LcBench("pairA", tmp_path)
    values = sample_values(pair.space, random.Random(0))
    training = pair.train(values, np.random.default_rng(0))
    expected = np.array([[76.5, 101.5], [102.0, 127.0]])
    np.testing.assert_allclose(-training.true_costs[[0, 51]], expected)
    np.testing.assert_array_equal(training.costs, training.true_costs)
    assert training.seconds.tolist() == list(range(1, 53))
    one = lcbench.LcBench("167152", tmp_path)
    np.testing.assert_allclose(one.true_costs([values], [2, 4])[0, :, 1], [0.5, 0.25])
    assert [objective.maximize for objective in one.objectives] == [True, False]
    noisy = lcbench.LcBench("pairA with noise", tmp_path).train(values, np.random.default_rng(0))
    assert np.std(noisy.costs - noisy.true_costs) == pytest.approx(0.7, rel=0.3)
