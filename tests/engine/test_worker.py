"""One trial in one process: its results, its checkpoints, and what becomes of its errors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.command_line import SEARCH_FILE
from tunebox.engine import worker as worker_module
from tunebox.engine.executor import TrialStart
from tunebox.engine.worker import TrialTask, TrialWorker, trial_task
from tunebox.errors import NodeError, first_line
from tunebox.records.checkpoints import checkpoint_files
from tunebox.records.search_folder import SearchFolder
from tunebox.spec.load import spec_from_source
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Values
from tunebox.spec.yaml_source import parse_yaml
from tunebox.training.trial_run import TrialRun

CLOCK = ("train_seconds", "images_per_second")


def make_worker(task: TrialTask) -> TrialWorker:
    return TrialWorker(task, num_threads=1, use_gpu=False)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """The trial sets the number of threads of its process: of ours here."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def short_spec() -> SearchSpec:
    """A search whose trials train four epochs."""
    return spec_from_source(parse_yaml(SEARCH_FILE, "made.yaml"), {"max_epochs": 4})


@pytest.fixture
def spec() -> SearchSpec:
    return short_spec()


def task_of(
    spec: SearchSpec,
    losses: str,
    width: int = 16,
    *,
    folder: Path = Path("/nowhere"),
    reported: int = 0,
) -> TrialTask:
    """A trial of four epochs; its checkpoints go into ``folder/checkpoints/t``."""
    pinned: Values = {"losses": losses, "model/width": width}
    pinned |= {"losses/ours/discriminative/weight": 0.5, "optimizer/lr": 0.1}
    values = spec.space.draw(lambda leaf: pinned.get(leaf.path, leaf.distribution.ends[-1]))
    rungs = () if folder == Path("/nowhere") else (2, 4)
    if folder.is_dir():
        SearchFolder(folder).checkpoints.mkdir(exist_ok=True)
    return trial_task(spec, TrialStart("t", values, None, reported), rungs, SearchFolder(folder))


def newest(folder: Path) -> int:
    """The epoch of the newest checkpoint."""
    return int(max(path.stem for path in (folder / "checkpoints" / "t").glob("*.pt")))


def trained(result: dict[str, Any]) -> dict[str, float]:
    return {k: v for k, v in result["metrics"].items() if k not in CLOCK}


def epochs(worker: TrialWorker, count: int) -> list[dict[str, Any]]:
    results = []
    for _ in range(count):
        result = worker.step()
        result["metrics"] = trained(result)
        results.append(result)
    return results


def test_a_result_for_each_epoch(spec: SearchSpec) -> None:
    results = epochs(make_worker(task_of(spec, "ours")), 4)
    assert [result["epoch"] for result in results] == [1, 2, 3, 4]
    assert all(set(result) == {"epoch", "metrics"} for result in results)
    assert set(spec.objectives) <= set(results[0]["metrics"])


@pytest.mark.parametrize("losses", ["clean_only", "ours"])
@pytest.mark.parametrize("reported", [3, 2])
def test_a_resumed_trial_is_the_same_to_the_last_bit(
    spec: SearchSpec, losses: str, reported: int, tmp_path: Path
) -> None:
    """The checkpoint is of epoch 2, whatever the driver knows."""
    whole = epochs(make_worker(task_of(spec, losses)), 4)
    epochs(make_worker(task_of(spec, losses, folder=tmp_path)), 3)
    second = make_worker(task_of(spec, losses, folder=tmp_path, reported=reported))
    assert epochs(second, 2) == whole[2:]


def test_reports_that_the_driver_lost_are_repeated(spec: SearchSpec, tmp_path: Path) -> None:
    whole = epochs(make_worker(task_of(spec, "ours")), 4)
    epochs(make_worker(task_of(spec, "ours", folder=tmp_path)), 2)
    again = make_worker(task_of(spec, "ours", folder=tmp_path))
    assert epochs(again, 4) == whole
    assert newest(tmp_path) == 4


def test_checkpoints_are_written_at_the_rungs(spec: SearchSpec, tmp_path: Path) -> None:
    worker = make_worker(replace(task_of(spec, "ours", folder=tmp_path), rungs=(1, 3)))
    found = []
    for _ in range(4):
        worker.step()
        found.append(newest(tmp_path))
    assert found == [1, 1, 3, 3]


def test_a_checkpoint_is_written_when_the_last_is_old(
    spec: SearchSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    worker = make_worker(replace(task_of(spec, "ours", folder=tmp_path), rungs=()))
    epochs(worker, 3)
    assert newest(tmp_path) == 3


@pytest.mark.parametrize("damage", ["cut", "format", "other"])
def test_a_damaged_checkpoint_is_left_out_with_a_line(
    spec: SearchSpec, tmp_path: Path, damage: str
) -> None:
    whole = epochs(make_worker(task_of(spec, "clean_only")), 4)
    first = replace(task_of(spec, "clean_only", folder=tmp_path), rungs=(1, 2, 3))
    epochs(make_worker(first), 3)
    newest_file, before, *rest = checkpoint_files(tmp_path / "checkpoints" / "t")
    assert [newest_file.name, before.name, rest] == ["000003.pt", "000002.pt", []]
    if damage == "cut":
        newest_file.write_bytes(newest_file.read_bytes()[:-2000])
    elif damage == "format":
        torch.save({**torch.load(newest_file, weights_only=True), "format": 2}, newest_file)
    else:
        (tmp_path / "other").mkdir()
        other = make_worker(task_of(spec, "clean_only", width=32, folder=tmp_path / "other"))
        epochs(other, 2)
        (tmp_path / "other" / "checkpoints" / "t" / "000002.pt").rename(newest_file)
    again = make_worker(task_of(spec, "clean_only", folder=tmp_path, reported=3))
    result = again.step()
    assert result["epoch"] == 3  # the one before is of epoch 2
    assert trained(result) == whole[2]["metrics"]
    [line] = result["notes"]
    assert line.startswith("trial t: 000003.pt is skipped: ")
    assert "notes" not in again.step()


def test_without_a_checkpoint_that_can_be_read_a_trial_starts_anew(
    spec: SearchSpec, tmp_path: Path
) -> None:
    whole = epochs(make_worker(task_of(spec, "clean_only")), 1)
    (tmp_path / "checkpoints" / "t").mkdir(parents=True)
    (tmp_path / "checkpoints" / "t" / "000002.pt").write_bytes(b"no checkpoint")
    again = make_worker(task_of(spec, "clean_only", folder=tmp_path, reported=2))
    [result] = epochs(again, 1)
    assert result.pop("notes")
    assert result == whole[0]


def test_a_folder_that_is_gone_is_named(spec: SearchSpec, tmp_path: Path) -> None:
    worker = make_worker(task_of(spec, "clean_only", folder=tmp_path / "gone"))
    first, second = epochs(worker, 2)
    assert "unwritable" not in first
    folder = tmp_path / "gone" / "checkpoints" / "t"
    assert second["unwritable"] == f"{folder}: No such file or directory"
    assert not (tmp_path / "gone").exists()


def test_an_exception_comes_with_its_traceback(
    spec: SearchSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: TrialRun) -> dict[str, float]:
        raise KeyError("no such thing")

    monkeypatch.setattr(TrialRun, "run_epoch", fail)
    result = make_worker(task_of(spec, "clean_only")).step()
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
def test_out_of_memory_or_a_gpu_error_ends_the_process(
    spec: SearchSpec, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(self: TrialRun) -> dict[str, float]:
        raise error

    monkeypatch.setattr(TrialRun, "run_epoch", fail)
    with pytest.raises(NodeError) as raised:
        make_worker(task_of(spec, "clean_only")).step()
    assert str(raised.value) == f"{type(error).__name__}: {first_line(error)}"
    assert "\n" not in str(raised.value)


def test_no_checkpoint_of_a_diverged_trial(spec: SearchSpec, tmp_path: Path) -> None:
    task = task_of(spec, "clean_only", folder=tmp_path)
    task.trial["optimizer"]["lr"] = 1e6
    worker = make_worker(task)
    for _ in range(2):
        assert not math.isfinite(worker.step()["metrics"]["train_loss"])
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_checkpoint_says_what_the_weights_are_for(spec: SearchSpec, tmp_path: Path) -> None:
    worker = make_worker(task_of(spec, "clean_only", folder=tmp_path))
    epochs(worker, 2)
    state = torch.load(tmp_path / "checkpoints" / "t" / "000002.pt", weights_only=True)
    shape = [state[key] for key in ("channels", "height", "width", "num_classes")]
    assert shape == [1, 8, 8, 10]
