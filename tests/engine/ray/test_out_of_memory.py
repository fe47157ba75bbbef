"""Ray's memory killer ends the workers of a search: it ends in good order, with advice."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError

from tests.command_line import run_tunebox
from tests.engine.make_running import make_running
from tests.engine.ray.test_lost_trials import LocalTrial
from tunebox.engine.nodes.memory import NodeMemory
from tunebox.engine.ray.executor import TuneCallback
from tunebox.engine.ray.lost_trials import ran_out_of_memory, reason
from tunebox.engine.ray.memory_kills import memory_kills_as_lost_actors
from tunebox.engine.ray.slots import Slots
from tunebox.engine.worker import TrialWorker
from tunebox.errors import NodeError

LOOP = """\
import time


def train(config, *, max_epochs):
    kept = []
    for epoch in range(max_epochs):
        kept.append(b"x" * int(config["megabytes"] * 2**20))
        time.sleep(0.2)
        yield {"accuracy": 0.5, "size": float(epoch)}
"""
SEARCH = """\
# What happens when there is too little memory?
trial: loop.py:train
config: {megabytes: {uniform: [300.0, 310.0]}}
objectives:
  accuracy: {direction: maximize, reference: 0.0}
  size: {direction: minimize, reference: 10000}
search: {trials: 2, max_epochs: 40, min_epochs: 40, max_failures: 1}
"""
MESSAGE = (
    "1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: "
    "192.0.2.2, ID: ab) was 9.93GB used / 23.54GB limit (0.421751)\n"
    "OOM kill reason: Memory usage 10546454528B exceeded threshold of 7582953472B (30.0%)\n"
    "Refer to the documentation on how to address the out of memory issue: https://docs"
)


class KilledError(Exception):
    """As Ray's own, which needs no Ray to be made."""


def test_the_reason_has_numbers_and_advice(tmp_path: Path) -> None:
    trial = LocalTrial(tmp_path, "0000", 1)
    trial.handle_error(KilledError(MESSAGE))
    assert ran_out_of_memory(trial)
    assert reason(trial) == (
        "Ray ended its worker because the memory of the node ran out (9.93 of 23.54 GB were used, "
        "and Ray allows 7.06); run fewer at once with --max-concurrent, or take a smaller "
        "training/batch_size, data/image_size or model"
    )
    trial.handle_error(ValueError("other"))
    assert not ran_out_of_memory(trial)


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 99 bytes"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
    ],
)
def test_a_trial_that_gets_no_memory_itself_says_what_helps(
    error: Exception, is_memory: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU without room among them: as with a node, fewer trials run at once then."""

    def fail(worker: TrialWorker) -> None:
        raise error

    monkeypatch.setattr(TrialWorker, "_result", fail)
    trial = LocalTrial(tmp_path, "0000", 1)
    with pytest.raises(NodeError) as raised:
        TrialWorker(SimpleNamespace(), num_threads=1, use_gpu=True).step()  # type: ignore[arg-type]
    # the end of the traceback that Ray writes
    trial.handle_error(KilledError(f"tunebox.errors.NodeError: {raised.value}"))
    assert ran_out_of_memory(trial) == is_memory
    assert reason(trial).endswith("data/image_size or model") == is_memory
    assert reason(trial).startswith(type(error).__name__)


def test_fewer_trials_run_after_each_loss_but_one() -> None:
    slots = Slots(None, {"a", "b", "c"})
    assert slots.lower()
    assert slots.limit == 2
    assert slots.are_taken
    slots.active = {"a"}
    assert slots.lower()
    assert slots.limit == 1
    assert not slots.lower()


def test_fewer_trials_run_once_one_was_measured() -> None:
    node = NodeMemory("a", num_trials=4, used=0, total=20, allowed=19)
    slots = Slots(None, {"a", "b", "c"}, [node])
    assert slots.fit(4, num_trials=9) is None  # all four have room
    assert slots.limit is None
    line = slots.fit(9, num_trials=9)
    assert line is not None
    assert line.startswith("2 trials run at once from now on: one took ")
    assert slots.fit(9, num_trials=9) is None  # said once
    assert slots.fit(5, num_trials=9) is None
    assert slots.limit == 2
    assert slots.are_taken
    assert Slots(None, {"a"}).fit(9, num_trials=9) is None  # of nodes that are not known


def test_a_callback_says_it() -> None:
    made = make_running()
    slots = Slots(None, nodes=[NodeMemory("a", num_trials=4, used=0, total=20, allowed=19)])
    callback = TuneCallback(made.search, slots, num_trials=9)
    callback.on_step_end(0, [])
    assert made.noting.notes == []
    trial_id = made.start()
    metrics = {"clean_accuracy": 0.5, "noisy_accuracy": 0.5}
    made.search.reported(trial_id, 1, metrics, "node", 9)
    for _ in range(2):
        callback.on_step_end(0, [])
    [line] = made.noting.notes
    assert line.startswith("2 trials run at once from now on")


def test_a_task_that_is_ended_for_lack_of_memory_is_a_lost_actor() -> None:
    heard: list[Exception] = []
    actor = SimpleNamespace(actor_id=1, _on_error=lambda _, error: heard.append(error))
    task = SimpleNamespace(_tracked_actor=actor, _on_error=lambda _, error: heard.append(error))
    manager = SimpleNamespace(_failed_actor_ids=set(), _cleanup_actor=lambda tracked_actor: None)

    def fail(error: Exception) -> None:
        RayActorManager._actor_task_failed(manager, tracked_actor_task=task, exception=error)

    with memory_kills_as_lost_actors():
        fail(OutOfMemoryError(MESSAGE))
        with pytest.raises(RuntimeError, match="unexpected exception: other"):
            fail(ValueError("other"))
    assert [type(error) for error in heard] == [RayActorError] * 2
    assert manager._failed_actor_ids == {1}
    with pytest.raises(RuntimeError):  # Ray's own again
        fail(OutOfMemoryError(MESSAGE))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_search_whose_trials_are_too_large_ends_in_good_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real Ray with a low threshold: no traceback, the advice at the end, and the records."""
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.3")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "50")
    (tmp_path / "loop.py").write_text(LOOP, encoding="utf-8")
    (tmp_path / "s.yaml").write_text(SEARCH, encoding="utf-8")
    done = run_tunebox("search", "s.yaml", "--name", "s", cwd=tmp_path, timeout=280)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    last = (done.stdout + done.stderr).splitlines()[-1]
    assert last.startswith("error: ")
    assert "Ray ended its worker because the memory of the node ran out (" in last
    assert last.endswith("training/batch_size, data/image_size or model")
    end = json.loads((tmp_path / "results" / "s" / "end.json").read_text(encoding="utf-8"))
    assert any("starts again: Ray ended its worker" in line for line in end["warnings"])
