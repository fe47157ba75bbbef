"""The trial as Ray runs it, called as Ray calls it but without a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import TrialState as OptunaState
from ray.tune import PlacementGroupFactory

from tunebox.search.decisions import Decisions
from tunebox.search.ray_adapters import DecisionScheduler, DecisionSearcher
from tunebox.search.trainable import STATE_FILE, TrialTrainable
from tunebox.spec.load import spec_from_source
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Values
from tunebox.spec.yaml_source import parse_yaml

SEARCH_FILE = """\
data: {kind: digits, train_images: 200}
model: {kind: mlp, width: {choice: [8, 16]}, depth: 1, feature_dim: 8}
losses:
  choice:
    clean_only: {cross_entropy: {on: clean}}
    ours:
      cross_entropy: {on: clean}
      discriminative: {weight: 0.5}
      noise: {kind: gaussian, std: {uniform: [0.1, 0.5]}}
optimizer: {kind: sgd, lr: {log_uniform: [0.01, 0.1]}}
schedule: {kind: cosine}
evaluation: {noise: {kind: gaussian, std: 0.4}}
search: {trials: 5, max_epochs: 4, reduction_factor: 2, seed: 1}
"""
CLOCK = ("train_seconds", "images_per_second")


class LocalTrial(TrialTrainable):
    """With the resources that Ray would tell it of."""

    @property
    def trial_resources(self) -> PlacementGroupFactory:
        return PlacementGroupFactory([{"CPU": 1.0}])


@dataclass
class RayTrial:
    """What the scheduler looks at of Ray's own class."""

    config: dict[str, Any]


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """The trial sets the number of threads of its process: of ours here."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def spec() -> SearchSpec:
    return spec_from_source(parse_yaml(SEARCH_FILE, "made.yaml"))


def config_of(spec: SearchSpec, losses: str, width: int = 8) -> dict[str, Any]:
    """As the searcher makes it."""
    pinned: Values = {"losses": losses, "model/width": width}
    values = spec.space.draw(lambda leaf: pinned.get(leaf.path, leaf.distribution.ends[-1]))
    return {
        "trial_id": "0000",
        "values": values,
        "trial": spec.space.resolve(values)[0],
        "seed": 1,
        "max_epochs": 4,
    }


def epochs(trainable: TrialTrainable, count: int) -> list[dict[str, Any]]:
    results = []
    for _ in range(count):
        result = trainable.step()
        result["metrics"] = {k: v for k, v in result["metrics"].items() if k not in CLOCK}
        results.append(result)
    return results


def test_a_result_for_each_epoch(spec: SearchSpec) -> None:
    results = epochs(LocalTrial(config_of(spec, "ours")), 4)
    assert [result["epoch"] for result in results] == [1, 2, 3, 4]
    assert all(set(result) == {"epoch", "metrics"} for result in results)
    assert set(spec.objectives) <= set(results[0]["metrics"])


@pytest.mark.parametrize("losses", ["clean_only", "ours"])
def test_a_trial_taken_up_again_goes_on_to_the_last_bit(
    spec: SearchSpec, losses: str, tmp_path: Path
) -> None:
    whole = epochs(LocalTrial(config_of(spec, losses)), 4)
    first = LocalTrial(config_of(spec, losses))
    epochs(first, 2)
    first.save_checkpoint(str(tmp_path))
    second = LocalTrial(config_of(spec, losses))
    second.load_checkpoint(str(tmp_path))
    assert epochs(second, 2) == whole[2:]


def test_another_trial_on_the_same_actor_is_as_on_a_fresh_one(spec: SearchSpec) -> None:
    used = LocalTrial(config_of(spec, "ours", width=16))
    epochs(used, 3)
    assert used.reset_config(config_of(spec, "clean_only"))
    fresh = LocalTrial(config_of(spec, "clean_only"))
    assert epochs(used, 4) == epochs(fresh, 4)


def test_checkpoint_says_what_the_weights_are_for(spec: SearchSpec, tmp_path: Path) -> None:
    trainable = LocalTrial(config_of(spec, "clean_only"))
    epochs(trainable, 1)
    trainable.save_checkpoint(str(tmp_path))
    state = torch.load(tmp_path / STATE_FILE, weights_only=True)
    shape = [state[key] for key in ("channels", "height", "width", "num_classes")]
    assert shape == [1, 8, 8, 10]


def test_the_scheduler_stops_a_diverged_trial(spec: SearchSpec) -> None:
    decisions = Decisions(spec.space, spec.objective_set, spec.search)
    config = DecisionSearcher(decisions, spec).suggest("ray-id")
    assert config is not None
    config["trial"]["optimizer"]["lr"] = 1e9
    (result,) = epochs(LocalTrial(config), 1)
    metrics = result.pop("metrics")
    result.update({f"metrics/{name}": value for name, value in metrics.items()})
    decision = DecisionScheduler(decisions).on_trial_result(None, RayTrial(config), result)
    assert decision == "STOP"


def test_last_epoch_reaches_the_sampler(spec: SearchSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would not show the scheduler a result that says done."""
    studies: list[optuna.Study] = []
    original = optuna.create_study

    def create(**settings: Any) -> optuna.Study:
        studies.append(original(**settings))
        return studies[-1]

    monkeypatch.setattr(optuna, "create_study", create)
    decisions = Decisions(spec.space, spec.objective_set, spec.search)
    searcher, scheduler = DecisionSearcher(decisions, spec), DecisionScheduler(decisions)
    config = searcher.suggest("ray-id")
    assert config is not None
    trainable = LocalTrial(config)
    decision = "CONTINUE"
    while decision == "CONTINUE":
        result = trainable.step()
        metrics = result.pop("metrics")
        result.update({f"metrics/{name}": value for name, value in metrics.items()})
        trial = RayTrial(config)
        decision = scheduler.on_trial_result(None, trial, result)
    scheduler.on_trial_complete(None, trial, result)
    searcher.on_trial_complete("ray-id", result=result)
    assert result["epoch"] == 4
    expected = spec.objective_set.costs(metrics).tolist()
    (last,) = studies[-1].get_trials(deepcopy=False)
    assert last.state is OptunaState.COMPLETE
    assert last.values == expected
