"""The trial as Ray Tune runs it, called as Ray Tune calls it but without a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import ray
import torch
from optuna.trial import TrialState as OptunaState
from ray.tune import PlacementGroupFactory

from tests.engine.make_running import make_running
from tests.engine.ray.ray_trial import RayTrial
from tests.engine.test_worker import short_spec, task_of, trained
from tunebox.decisions.trials import TrialState
from tunebox.engine.nodes.placement import TrialPlacement
from tunebox.engine.nodes.shared_folder import MarkedFolder
from tunebox.engine.ray.executor import TuneCallback, TuneSearcher
from tunebox.engine.ray.scheduler import TuneScheduler
from tunebox.engine.ray.trainable import TrialTrainable
from tunebox.errors import NodeError
from tunebox.spec.search_spec import SearchSpec

MARK = MarkedFolder("/nowhere", "abc")


class LocalTrial(TrialTrainable):
    """With the resources that Ray would tell it of."""

    @property
    def trial_resources(self) -> PlacementGroupFactory:
        return PlacementGroupFactory([{"CPU": 1.0}])


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """The trial sets the number of threads of its process: of ours here."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def spec() -> SearchSpec:
    return short_spec()


def config_of(spec: SearchSpec, losses: str, width: int = 16) -> dict[str, Any]:
    return {"trial_id": "t", "task": vars(task_of(spec, losses, width))}


def epochs(trainable: TrialTrainable, count: int) -> list[dict[str, float]]:
    return [trained(trainable.step()) for _ in range(count)]


def test_another_trial_on_the_same_actor_is_as_on_a_fresh_one(spec: SearchSpec) -> None:
    used = LocalTrial(config_of(spec, "ours", width=16))
    epochs(used, 3)
    assert used.reset_config(config_of(spec, "clean_only"))
    fresh = LocalTrial(config_of(spec, "clean_only"))
    assert epochs(used, 4) == epochs(fresh, 4)


def test_a_node_without_the_folder_is_unfit_and_the_next_step_ends_the_actor(
    spec: SearchSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = SimpleNamespace(get_node_id=lambda: "node-1")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    trial = LocalTrial({**config_of(spec, "ours"), "mark": MARK})
    result = trial.step()
    assert set(result) == {"unfit", "node_id"}
    assert result["node_id"] == "node-1"
    assert "it does not share the folder of the search" in result["unfit"]
    with pytest.raises(NodeError):
        trial.step()


def test_a_trial_to_its_last_epoch_reaches_the_sampler(
    spec: SearchSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ray would not show the scheduler a result that says done."""
    studies: list[optuna.Study] = []
    original = optuna.create_study

    def create(**settings: Any) -> optuna.Study:
        studies.append(original(**settings))
        return studies[-1]

    monkeypatch.setattr(optuna, "create_study", create)
    made = make_running(spec)
    searcher = TuneSearcher(made.search, spec, (), tmp_path)
    scheduler = TuneScheduler(made.search, TrialPlacement({"CPU": 1.0}, {}), MARK)
    callback = TuneCallback(made.search)
    config = searcher.suggest("ray-id")
    assert isinstance(config, dict)
    trial, trainable = RayTrial(config), LocalTrial(config)
    callback.on_trial_start(0, [], trial)
    decision = "CONTINUE"
    while decision == "CONTINUE":
        result = trainable.step()
        metrics = result.pop("metrics")
        result.update({f"metrics/{name}": value for name, value in metrics.items()})
        trial.last_result = result
        decision = scheduler.on_trial_result(None, trial, result)
    scheduler.on_trial_complete(None, trial, result)
    searcher.on_trial_complete("ray-id", result=result)
    callback.on_trial_complete(0, [], trial)
    assert result["epoch"] == 4
    assert made.log.trials["0000"].state is TrialState.FINISHED
    expected = spec.objective_set.costs(metrics).tolist()
    (last,) = studies[-1].get_trials(deepcopy=False)
    assert last.state is OptunaState.COMPLETE
    assert last.values == expected
