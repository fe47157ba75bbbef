"""What the Gaussian process does besides what `test_samplers` asks of every sampler."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engine.make_search import make_spec
from tunebox.decisions import gp_sampler, report_model
from tunebox.decisions.gp_sampler import FIRST_TRIALS, GpSampler
from tunebox.decisions.report_model import modelled_epochs
from tunebox.decisions.trials import TrialState
from tunebox.pareto.objectives import FloatArray
from tunebox.spec.space import Space, Values
from tunebox.spec.yaml_source import parse_yaml

LINE = "x: {uniform: [0.0, 1.0]}\ny: {uniform: [0.0, 1.0]}"


def line() -> Space:
    source = parse_yaml(LINE, "made.yaml")
    return Space(source.data, source)


def bowl(values: Values, num_objectives: int = 2) -> FloatArray:
    """Costs that are least at x = 0.2, 0.3, .. for each objective, and y = 0.7 for all."""
    x, y = float(values["x"] or 0), float(values["y"] or 0)
    best = 0.2 + 0.1 * np.arange(num_objectives)
    return np.asarray((x - best) ** 2 + (y - 0.7) ** 2)


def run_trial(sampler: GpSampler, name: str, costs: FloatArray | None = None) -> Values:
    values = sampler.ask(name)
    sampler.adopt(name, values)
    for epoch in (1, 2):
        found = bowl(values, len(sampler._model._reference)) if costs is None else costs
        sampler.tell(name, epoch, found + 1 / epoch)
    sampler.end(name, failed=False)
    return values


def test_modelled_epochs_are_rungs_and_some_more() -> None:
    assert modelled_epochs((13, 26, 52)) == (13, 26, 39, 52)
    assert modelled_epochs((1,)) == (1,)
    assert modelled_epochs((1, 3, 9)) == (1, 3, 7, 9)


def test_suggests_what_lies_between_the_best_of_the_objectives() -> None:
    sampler = GpSampler(line(), (1, 2), np.full(2, 2.0), seed=0)
    for number in range(FIRST_TRIALS + 4):
        run_trial(sampler, f"{number}")
    asked = [run_trial(sampler, f"more{number}") for number in range(6)]
    points = [(float(v["x"] or 0), float(v["y"] or 0)) for v in asked]
    near = [0.1 < x < 0.4 and 0.6 < y < 0.8 for x, y in points]
    assert sum(near) >= 3


@pytest.mark.parametrize("num_objectives", [1, 3, pytest.param(4, marks=pytest.mark.slow)])
def test_any_number_of_objectives_with_constraints_and_failures(num_objectives: int) -> None:
    reference = np.full(num_objectives, 2.0)
    sampler = GpSampler(make_spec().space, (1, 3), reference, seed=0, num_bounds=1)
    generator = np.random.default_rng(0)
    for number in range(FIRST_TRIALS + 1):
        name = f"{number}"
        sampler.adopt(name, sampler.ask(name))
        if number % 4:
            sampler.tell(name, 1, generator.random(num_objectives), generator.normal(size=1))
        sampler.end(name, failed=number % 4 == 0)
    values = sampler.ask("next", {"optimizer/lr": 0.5})
    leaves = make_spec().space.leaves
    assert set(values) == {leaf.path for leaf in leaves if leaf.is_active(values)}
    assert values["optimizer/lr"] == 0.5
    assert sampler.ask("next", {"optimizer/lr": 0.5}) == values  # asking changes nothing


def test_trials_at_work_are_not_suggested_again() -> None:
    sampler = GpSampler(line(), (1, 2), np.full(2, 2.0), seed=1)
    for number in range(FIRST_TRIALS + 1):
        run_trial(sampler, f"{number}")
    asked = []
    for number in range(5):
        asked.append(sampler.ask(f"r{number}"))
        sampler.adopt(f"r{number}", asked[-1])
    points = np.array([[float(v["x"] or 0), float(v["y"] or 0)] for v in asked])
    gaps = np.linalg.norm(points[:, None] - points, axis=2)[np.triu_indices(5, 1)]
    assert gaps.min() > 1e-3


def test_keeps_away_from_where_trials_fail() -> None:
    """The best costs are at x near 0.2, where every trial fails."""
    sampler = GpSampler(line(), (1,), np.full(2, 2.0), seed=0)
    asked = []
    for number in range(FIRST_TRIALS + 14):
        values = sampler.ask(f"{number}")
        sampler.adopt(f"{number}", values)
        fails = float(values["x"] or 0) < 0.5
        if not fails:
            sampler.tell(f"{number}", 1, bowl(values))
        sampler.end(f"{number}", failed=fails)
        asked.append(fails)
    assert sum(asked[-8:]) <= 3


def test_costs_that_never_differ_and_none_below_the_reference_are_no_trouble() -> None:
    sampler = GpSampler(line(), (1, 2), np.full(2, 0.5), seed=0)
    asked = [run_trial(sampler, f"{n}", np.full(2, 3.0)) for n in range(FIRST_TRIALS + 3)]
    assert len({(values["x"], values["y"]) for values in asked}) == len(asked)


def test_of_many_reports_a_model_has_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_model, "_MOST_REPORTS", 30)
    monkeypatch.setattr(report_model, "_MOST_FITTED", 20)
    sampler = GpSampler(line(), (1, 2), np.full(2, 2.0), seed=0)
    for number in range(FIRST_TRIALS + 9):
        run_trial(sampler, f"{number}")
    index = sampler._model._subset(len(sampler._model._reported), 30)
    assert len(index) == 30 == len(set(index.tolist()))
    best = int(np.argmin(np.stack(sampler._model._reported)[:, 0]))
    assert best in index


def test_beyond_the_most_trials_tpe_suggests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gp_sampler, "MOST_TRIALS", FIRST_TRIALS)
    sampler = GpSampler(line(), (1,), np.full(2, 2.0), seed=0)
    for number in range(FIRST_TRIALS + 2):
        run_trial(sampler, f"{number}")
    assert sampler.ask("next") == sampler._tpe.ask("next")


def test_better_settings_are_expected_to_gain_more() -> None:
    sampler = GpSampler(line(), (1, 2), np.full(2, 2.0), seed=0)
    for number in range(FIRST_TRIALS + 4):
        run_trial(sampler, f"{number}")
    good = sampler.gain_of_new({"x": 0.25, "y": 0.7})
    assert good > sampler.gain_of_new({"x": 0.95, "y": 0.05}) >= 0


def test_an_earlier_search_is_learnt_from_at_once() -> None:
    sampler = GpSampler(line(), (1, 2), np.full(2, 2.0), seed=0)
    generator, known = np.random.default_rng(0), []
    for number in range(30):
        values: Values = {"x": float(generator.random()), "y": float(generator.random())}
        known.append(bowl(values).max())
        reports = {2: (bowl(values), np.zeros(0))}
        state = TrialState.FAILED if number % 10 == 0 else TrialState.FINISHED
        sampler.learn(values, {} if state is TrialState.FAILED else reports, state)
    asked = [run_trial(sampler, f"{number}") for number in range(5)]
    assert np.median([bowl(values).max() for values in asked]) < 0.6 * np.median(known)
