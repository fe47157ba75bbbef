"""Trials that lose their worker or their node: what counts as a failure, and that they go on."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle
from ray._private.node import Node
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.cluster_utils import Cluster
from ray.core.generated.autoscaler_pb2 import DRAIN_NODE_REASON_PREEMPTION
from ray.core.generated.common_pb2 import ActorDiedErrorContext, NodeDeathInfo
from ray.exceptions import ActorDiedError, ActorUnavailableError
from ray.tune import TuneError
from ray.tune.experiment import Trial

import tunebox
from tests.command_line import SEARCH_FILE
from tests.engine.make_running import Made, make_running
from tests.faults.search_process import SearchProcess, wait_until, worker_pids
from tunebox.decisions.trials import TrialState
from tunebox.engine.nodes.placement import TrialPlacement
from tunebox.engine.nodes.shared_folder import MarkedFolder
from tunebox.engine.ray import executor
from tunebox.engine.ray.executor import TuneCallback
from tunebox.engine.ray.lost_trials import reason, was_given_back
from tunebox.engine.ray.scheduler import TuneScheduler
from tunebox.engine.ray.trainable import TrialTrainable
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import read_log

GIVEN_BACK = "its node was drained or shut down, which does not count as a failure"


class LocalTrial(Trial):  # type: ignore[misc]
    """Ray Tune's own trial, whose files need no Ray that runs."""

    def __init__(self, folder: Path, trial_id: str, max_failures: int) -> None:
        self.folder = folder
        super().__init__("x", config={"trial_id": trial_id}, stub=True, max_failures=max_failures)

    @property
    def local_path(self) -> str:
        return str(self.folder)


def died(why: NodeDeathInfo.Reason.ValueType, message: str = "its node has died") -> ActorDiedError:
    info = NodeDeathInfo(reason=why)
    context = ActorDiedErrorContext(
        class_name="X", actor_id=b"a" * 16, error_message=message, node_death_info=info
    )
    return ActorDiedError(cause=context)  # as Ray makes it


DRAINED = died(NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED)
SHUT_DOWN = died(
    NodeDeathInfo.EXPECTED_TERMINATION,
    "the actor's node was terminated expectedly: received SIGTERM",
)
LOST = died(NodeDeathInfo.UNEXPECTED_TERMINATION)
AWAY = ActorUnavailableError("Socket closed", b"a" * 16)


@pytest.mark.parametrize(
    ("errors", "is_given_back"),
    [
        ([DRAINED], True),
        ([SHUT_DOWN], True),
        ([LOST], False),
        ([AWAY], False),
        ([LOST, DRAINED], True),
        ([DRAINED, AWAY], False),
        ([DRAINED, TuneError("no room")], False),  # Ray does not pickle it
        ([], False),
    ],
)
def test_the_last_failure_of_a_trial_is_told(
    tmp_path: Path, errors: list[Exception], is_given_back: bool
) -> None:
    trial = LocalTrial(tmp_path, "0000", 1)
    for error in errors:
        trial.handle_error(error)
    assert was_given_back(trial) == is_given_back
    assert (reason(trial) == GIVEN_BACK) == is_given_back


class Loop:
    """What Ray Tune does with a trial that fails, with our adapters and without its actors."""

    def __init__(self, made: Made, folder: Path, max_failures: int) -> None:
        mark = MarkedFolder("/nowhere", "abc")
        placement = TrialPlacement({"CPU": 1.0}, {})
        self.callback = TuneCallback(made.search)
        self.scheduler = TuneScheduler(made.search, placement, mark)
        self.search, self.folder, self.max_failures = made.search, folder, max_failures
        self.add()

    def add(self) -> None:
        start = self.search.next_trial()
        assert start is not None
        assert start.trial_id == "0000"
        self.trial = LocalTrial(self.folder, start.trial_id, self.max_failures)
        self.scheduler.on_trial_add(None, self.trial)
        self.trial.set_status(Trial.RUNNING)
        self.callback.on_trial_start(0, [], self.trial)

    def fail(self, error: Exception) -> None:
        """Do as `TuneController._process_trial_failure`, and start what waits again."""
        self.trial.handle_error(error)
        if self.trial.should_recover():
            self.trial.set_status(Trial.ERROR)
            self.scheduler.on_trial_error(None, self.trial)  # of `_requeue_trial`
            assert not self.search.is_waiting("0000"), "it would run twice"
            self.trial.set_status(Trial.RUNNING)
            self.callback.on_trial_recover(0, [], self.trial)
            return
        self.scheduler.on_trial_error(None, self.trial)
        self.callback.on_trial_error(0, [], self.trial)
        if self.search.is_waiting("0000"):
            self.add()


@pytest.mark.parametrize("given_back", [DRAINED, SHUT_DOWN], ids=["drained", "shut down"])
@pytest.mark.parametrize("max_failures", [0, 1, 3])
def test_nodes_that_are_given_back_count_not_at_all(
    tmp_path: Path, given_back: Exception, max_failures: int
) -> None:
    made = make_running()
    loop = Loop(made, tmp_path, max_failures)
    num_given_back = 0
    for _ in range(max_failures):
        for error in (given_back, LOST, given_back):
            loop.fail(error)
        num_given_back += 2
    for _ in range(3):
        loop.fail(given_back)
    assert made.log.count(TrialState.RUNNING) == 1
    notes = [note for note in made.search.notes if note.endswith(GIVEN_BACK)]
    assert len(notes) == num_given_back + 3
    loop.fail(LOST)
    assert made.log.count(TrialState.FAILED) == 1
    assert str(made.log.trials["0000"].reason).startswith("its worker process died: ")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head for the driver, and four nodes with room for one trial each."""
    memory = {"object_store_memory": 80_000_000}
    head = {"num_cpus": 0, "include_dashboard": False, **memory}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(4):
            cluster.add_node(wait=False, num_cpus=1, **memory)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def node_that_trains(cluster: Cluster) -> Node:
    found: list[Node] = []

    def look() -> bool:
        raylets = {n: n.all_processes["raylet"][0].process.pid for n in cluster.worker_nodes}
        found[:] = [node for node, raylet in raylets.items() if worker_pids(raylet)]
        return bool(found)

    wait_until(look, "worker", 60)
    return found[0]


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_trial_outlives_nodes_that_are_given_back(tmp_path: Path, cluster: Cluster) -> None:
    """One is killed when it was drained, as of a preempted machine, and two get a SIGTERM."""
    options = ("--trials", "1", "--max-epochs", "100000", "--max-failures", "0")
    search = SearchProcess(tmp_path, "--address", cluster.address, *options)
    process = search.start()
    for is_killed in (False, True, False):
        search.wait_for("reported", search.count("reported") + 5, 60)
        node = node_that_trains(cluster)
        if is_killed:
            gcs, deadline = GcsClient(cluster.address), int(time.time() * 1000) + 1000
            assert gcs.drain_node(node.node_id, DRAIN_NODE_REASON_PREEMPTION, "", deadline)[0]
        cluster.remove_node(node, allow_graceful=not is_killed)
    search.wait_for("reported", search.count("reported") + 5, 60)
    process.send_signal(signal.SIGINT)
    code, stdout, stderr = search.finish()
    assert (code, stderr) == (130, ""), stdout
    again = re.findall("trial 0000 starts again: (.*)", stdout)  # told at once and at the end
    assert len(again) >= 2 * 3
    assert set(again) == {GIVEN_BACK}
    [trial] = read_log(SearchFolder(search.folder)).trials.values()
    assert trial.state is TrialState.INTERRUPTED
    assert [report.epoch for report in trial.history] == [*range(1, trial.epochs + 1)]


NUM_DEATHS = 2


class DyingTrainable(TrialTrainable):
    """Dies with its process when it is to become another trial, the first times."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        deaths = Path(new_config["task"]["checkpoints"]).parents[2] / "deaths"
        deaths.mkdir(exist_ok=True)
        if len(list(deaths.iterdir())) < NUM_DEATHS:
            (deaths / new_config["trial_id"]).touch()
            os._exit(1)
        return bool(super().reset_config(new_config))


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.usefixtures("joined")
def test_a_lost_trial_runs_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers have no tests
    monkeypatch.setattr(executor, "TrialTrainable", DyingTrainable)
    (tmp_path / "methods.yaml").write_text(SEARCH_FILE, encoding="utf-8")
    result = tunebox.search(
        str(tmp_path / "methods.yaml"),
        trials=6,
        max_epochs=2,
        max_concurrent=1,
        name="lost",
        out=str(tmp_path / "results"),
    )
    lost = sorted(path.name for path in (tmp_path / "results" / "deaths").iterdir())
    assert len(lost) == NUM_DEATHS
    assert sorted(result.log.trials) == [f"{number:04d}" for number in range(6)]
    for trial in result.log.trials.values():
        assert trial.state is TrialState.FINISHED, trial
        assert [report.epoch for report in trial.history] == [1, 2]
    starting_again = [line for line in result.warnings if "starts again" in line]
    assert sorted(line.split()[1] for line in starting_again) == lost
