"""Where a search runs: on a cluster that is joined and left running, or on none at all."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

import tunebox
from tests.command_line import SEARCH_FILE, run_tunebox, succeed
from tests.search.conftest import RayCluster
from tunebox.api import SearchResult
from tunebox.spec.space import Values

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "methods.yaml").write_text(SEARCH_FILE, encoding="utf-8")
    return tmp_path


@pytest.fixture
def joined(ray_address: str) -> Iterator[None]:
    """This process as a driver on the cluster."""
    ray.init(address=ray_address, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def outcome(result: SearchResult) -> list[tuple[Values, str, list[tuple[float, float]]]]:
    return [
        (
            trial.settings,
            trial.state.value,
            [(r.metrics["clean_accuracy"], r.metrics["noisy_loss"]) for r in trial.history],
        )
        for trial in result.log.trials.values()
    ]


def test_a_cluster_is_joined_and_left_running(home: Path, ray_address: str) -> None:
    options = ("--trials", "2", "--max-epochs", "2", "--address", ray_address)
    printed = succeed("search", "methods.yaml", *options, cwd=home)
    assert printed.startswith(f"methods-1: joined the Ray cluster at {ray_address} (2 CPUs, 0 GPUs)")
    with socket.create_connection(("127.0.0.1", int(ray_address.split(":")[1])), 5):
        pass


def test_what_ray_start_made_is_found(
    home: Path, ray_cluster: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", ray_cluster.folder)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    printed = succeed("search", "methods.yaml", "--trials", "1", "--max-epochs", "2", cwd=home)
    assert f"joined the Ray cluster at {ray_cluster.address}" in printed


@pytest.mark.usefixtures("joined")
def test_one_worker_and_the_same_seed_give_the_same_search(home: Path) -> None:
    results = [
        tunebox.search(
            str(home / "methods.yaml"),
            **{"trials": 5, "max_epochs": 4, "max_concurrent": 1, "seed": seed},
            name=name,
            out=str(home / "results"),
        )
        for name, seed in (("first", 5), ("second", 5), ("other", 6))
    ]
    first, second, other = (outcome(result) for result in results)
    assert len(first) == 5
    assert first == second
    assert first != other
    front = tunebox.read_front("first", str(home / "results"))
    assert front["trial_id"].to_pylist() == [t.trial_id for t in results[0].log.front()]
    assert results[0].warnings == []
    assert ray.is_initialized()


def test_an_address_where_nothing_listens_is_one_line(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        start = time.monotonic()
        done = run_tunebox("search", "methods.yaml", "--address", address, cwd=home)
    assert time.monotonic() - start < 60
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: no Ray cluster answers at '{address}'")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in home.iterdir()] == ["methods.yaml"]


def test_more_gpus_than_there_are_is_one_line(home: Path, ray_address: str) -> None:
    options = ("--gpus-per-trial", "64", "--address", ray_address)
    done = run_tunebox("search", "methods.yaml", *options, cwd=home)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --gpus-per-trial 64: the largest node of the cluster has")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in home.iterdir()] == ["methods.yaml"]
