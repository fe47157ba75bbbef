"""The trial as Ray runs it, called as Ray calls it but without a cluster."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import TrialState as OptunaState
from ray.tune import PlacementGroupFactory

from tunebox.checkpoints import checkpoint_files
from tunebox.errors import NodeError, first_line
from tunebox.search import trainable as trainable_module
from tunebox.search.decisions import Decisions
from tunebox.search.past import Past
from tunebox.search.ray_adapters import DecisionScheduler, DecisionSearcher
from tunebox.search.trainable import TrialTrainable
from tunebox.spec.load import spec_from_source
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Values
from tunebox.spec.yaml_source import parse_yaml
from tunebox.training.trial_run import TrialRun
from tunebox.trials import SearchObserver, TrialLog

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


def config_of(
    spec: SearchSpec,
    losses: str,
    width: int = 8,
    *,
    folder: Path = Path("/nowhere"),
    reported: int = 0,
) -> dict[str, Any]:
    """As the searcher makes it; the checkpoints of the trial go into ``folder/t``."""
    pinned: Values = {"losses": losses, "model/width": width}
    values = spec.space.draw(lambda leaf: pinned.get(leaf.path, leaf.distribution.ends[-1]))
    return {
        "trial_id": "t",
        "values": values,
        "trial": spec.space.resolve(values)[0],
        "seed": 1,
        "max_epochs": 4,
        "rungs": () if folder == Path("/nowhere") else (2, 4),
        "checkpoints": str(folder / "t"),
        "reported": reported,
    }


def newest(folder: Path) -> int:
    """The epoch of the newest checkpoint."""
    return int(max(path.stem for path in (folder / "t").glob("*.pt")))


def trained(result: dict[str, Any]) -> dict[str, float]:
    return {k: v for k, v in result["metrics"].items() if k not in CLOCK}


def epochs(trainable: TrialTrainable, count: int) -> list[dict[str, Any]]:
    results = []
    for _ in range(count):
        result = trainable.step()
        result["metrics"] = trained(result)
        results.append(result)
    return results


def test_a_result_for_each_epoch(spec: SearchSpec) -> None:
    results = epochs(LocalTrial(config_of(spec, "ours")), 4)
    assert [result["epoch"] for result in results] == [1, 2, 3, 4]
    assert all(set(result) == {"epoch", "metrics"} for result in results)
    assert set(spec.objectives) <= set(results[0]["metrics"])


@pytest.mark.parametrize("losses", ["clean_only", "ours"])
@pytest.mark.parametrize("reported", [3, 2])
def test_a_trial_taken_up_again_goes_on_to_the_last_bit(
    spec: SearchSpec, losses: str, reported: int, tmp_path: Path
) -> None:
    """The checkpoint is of epoch 2, whatever the driver heard of."""
    whole = epochs(LocalTrial(config_of(spec, losses)), 4)
    epochs(LocalTrial(config_of(spec, losses, folder=tmp_path)), 3)
    second = LocalTrial(config_of(spec, losses, folder=tmp_path, reported=reported))
    assert epochs(second, 2) == whole[2:]


def test_what_the_driver_did_not_hear_is_reported_again(spec: SearchSpec, tmp_path: Path) -> None:
    whole = epochs(LocalTrial(config_of(spec, "ours")), 4)
    epochs(LocalTrial(config_of(spec, "ours", folder=tmp_path)), 2)
    again = LocalTrial(config_of(spec, "ours", folder=tmp_path))
    assert epochs(again, 4) == whole
    assert newest(tmp_path) == 4


def test_checkpoints_are_written_at_the_rungs(spec: SearchSpec, tmp_path: Path) -> None:
    trainable = LocalTrial({**config_of(spec, "ours", folder=tmp_path), "rungs": (1, 3)})
    found = []
    for _ in range(4):
        trainable.step()
        found.append(newest(tmp_path))
    assert found == [1, 1, 3, 3]


def test_a_checkpoint_is_written_when_the_last_is_old(
    spec: SearchSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainable_module, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    trainable = LocalTrial({**config_of(spec, "ours", folder=tmp_path), "rungs": ()})
    epochs(trainable, 3)
    assert newest(tmp_path) == 3


@pytest.mark.parametrize("damage", ["cut", "format", "other"])
def test_a_damaged_checkpoint_is_left_out_with_a_line(
    spec: SearchSpec, tmp_path: Path, damage: str
) -> None:
    whole = epochs(LocalTrial(config_of(spec, "clean_only")), 4)
    first = {**config_of(spec, "clean_only", folder=tmp_path), "rungs": (1, 2, 3)}
    epochs(LocalTrial(first), 3)
    newest_file, before, *rest = checkpoint_files(tmp_path / "t")
    assert [newest_file.name, before.name, rest] == ["000003.pt", "000002.pt", []]
    if damage == "cut":
        newest_file.write_bytes(newest_file.read_bytes()[:-2000])
    elif damage == "format":
        torch.save({**torch.load(newest_file, weights_only=True), "format": 2}, newest_file)
    else:
        other = LocalTrial(config_of(spec, "clean_only", width=16, folder=tmp_path / "other"))
        (tmp_path / "other").mkdir()
        epochs(other, 2)
        (tmp_path / "other" / "t" / "000002.pt").rename(newest_file)
    again = LocalTrial(config_of(spec, "clean_only", folder=tmp_path, reported=3))
    result = again.step()
    assert result["epoch"] == 3  # the one before is of epoch 2
    assert trained(result) == whole[2]["metrics"]
    [line] = result["notes"]
    assert line.startswith("trial t: 000003.pt is left out: ")
    assert "notes" not in again.step()


def test_without_a_checkpoint_that_can_be_read_a_trial_starts_anew(
    spec: SearchSpec, tmp_path: Path
) -> None:
    whole = epochs(LocalTrial(config_of(spec, "clean_only")), 1)
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "000002.pt").write_bytes(b"no checkpoint")
    again = LocalTrial(config_of(spec, "clean_only", folder=tmp_path, reported=2))
    [result] = epochs(again, 1)
    assert result.pop("notes")
    assert result == whole[0]


def test_a_folder_that_is_gone_is_told(spec: SearchSpec, tmp_path: Path) -> None:
    trainable = LocalTrial(config_of(spec, "clean_only", folder=tmp_path / "gone"))
    first, second = epochs(trainable, 2)
    assert "unwritable" not in first
    assert second["unwritable"] == f"{tmp_path / 'gone' / 't'}: No such file or directory"
    assert not (tmp_path / "gone").exists()


def test_an_exception_is_told_with_its_traceback(
    spec: SearchSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: TrialRun) -> dict[str, float]:
        raise KeyError("no such thing")

    monkeypatch.setattr(TrialRun, "run_epoch", fail)
    result = LocalTrial(config_of(spec, "clean_only")).step()
    assert result["failed"] == "KeyError: 'no such thing'"
    assert result["failed_at"].startswith(f"KeyError at {__file__}:")
    assert 'raise KeyError("no such thing")' in result["traceback"]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        MemoryError(),
        torch.AcceleratorError(
            "CUDA error: an illegal memory access was encountered\n"
            "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
        ),
        RuntimeError("CUDA error: unspecified launch failure"),
    ],
)
def test_without_memory_or_its_gpu_the_actor_ends(
    spec: SearchSpec, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(self: TrialRun) -> dict[str, float]:
        raise error

    monkeypatch.setattr(TrialRun, "run_epoch", fail)
    with pytest.raises(NodeError) as raised:
        LocalTrial(config_of(spec, "clean_only")).step()
    assert str(raised.value) == f"{type(error).__name__}: {first_line(error)}"
    assert "\n" not in str(raised.value)


def test_no_checkpoint_of_a_diverged_trial(spec: SearchSpec, tmp_path: Path) -> None:
    config = config_of(spec, "clean_only", folder=tmp_path)
    config["trial"]["optimizer"]["lr"] = 1e9
    trainable = LocalTrial(config)
    for _ in range(2):
        assert not math.isfinite(trainable.step()["metrics"]["train_loss"])
    assert list(tmp_path.iterdir()) == []


def test_another_trial_on_the_same_actor_is_as_on_a_fresh_one(spec: SearchSpec) -> None:
    used = LocalTrial(config_of(spec, "ours", width=16))
    epochs(used, 3)
    assert used.reset_config(config_of(spec, "clean_only"))
    fresh = LocalTrial(config_of(spec, "clean_only"))
    assert epochs(used, 4) == epochs(fresh, 4)


def test_checkpoint_says_what_the_weights_are_for(spec: SearchSpec, tmp_path: Path) -> None:
    trainable = LocalTrial(config_of(spec, "clean_only", folder=tmp_path))
    epochs(trainable, 2)
    state = torch.load(tmp_path / "t" / "000002.pt", weights_only=True)
    shape = [state[key] for key in ("channels", "height", "width", "num_classes")]
    assert shape == [1, 8, 8, 10]


def test_the_scheduler_stops_a_diverged_trial(spec: SearchSpec, tmp_path: Path) -> None:
    decisions = Decisions(spec.space, spec.objective_set, spec.search)
    past = Past(TrialLog(spec.objective_set), decisions)
    searcher = DecisionSearcher(past, spec, tmp_path, SearchObserver())
    config = searcher.suggest("ray-id")
    assert config is not None
    config["trial"]["optimizer"]["lr"] = 1e9
    (result,) = epochs(LocalTrial(config), 1)
    metrics = result.pop("metrics")
    result.update({f"metrics/{name}": value for name, value in metrics.items()})
    decision = DecisionScheduler(past).on_trial_result(None, RayTrial(config), result)
    assert decision == "STOP"


def test_last_epoch_reaches_the_sampler(
    spec: SearchSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ray would not show the scheduler a result that says done."""
    studies: list[optuna.Study] = []
    original = optuna.create_study

    def create(**settings: Any) -> optuna.Study:
        studies.append(original(**settings))
        return studies[-1]

    monkeypatch.setattr(optuna, "create_study", create)
    decisions = Decisions(spec.space, spec.objective_set, spec.search)
    past = Past(TrialLog(spec.objective_set), decisions)
    searcher = DecisionSearcher(past, spec, tmp_path, SearchObserver())
    scheduler = DecisionScheduler(past)
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
