"""What a search asks of the nodes before trials start there, and of those that join later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.command_line import run_tunebox, start_tunebox
from tests.engine.nodes.node_cluster import (
    SEARCH_FILE,
    NodeCluster,
    needs_mounts,
    node_cluster,
    write_images,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NodeCluster]:
    with node_cluster(tmp_path) as made:
        monkeypatch.setenv("HOME", str(made.home("head")))  # of the driver too
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "s.yaml").write_text(SEARCH_FILE, encoding="utf-8")
    return tmp_path


def rows(folder: Path) -> list[dict[str, object]]:
    return list(pq.read_table(folder / "results" / "s" / "trials.parquet").to_pylist())


def test_data_are_asked_for_on_every_node(folder: Path, cluster: NodeCluster) -> None:
    cluster.add("second")
    command = ("search", "s.yaml", "--address", cluster.address)
    nowhere = run_tunebox(*command, cwd=folder, timeout=300)
    assert nowhere.returncode == 2
    assert nowhere.stderr.startswith("error: on no node: ")
    assert "home-head/images/train: no such folder" in nowhere.stderr
    assert nowhere.stderr.count("\n") == 1
    assert not (folder / "results" / "s").exists()

    write_images(cluster.home("second"))  # not where this process looks
    done = run_tunebox(*command, cwd=folder, timeout=300)
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("node ")][:1]
    assert "is skipped: " in line
    assert "home-head/images/train: no such folder" in line
    assert [row["state"] for row in rows(folder)] == 4 * ["finished"]
    assert "starts again" not in done.stdout


@needs_mounts()
def test_a_folder_that_is_not_shared_is_one_line(folder: Path, cluster: NodeCluster) -> None:
    write_images(cluster.home("head"))
    (folder / "results").mkdir()
    cluster.add_hidden_from(folder / "results")
    done = run_tunebox("search", "s.yaml", "--address", cluster.address, cwd=folder, timeout=300)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {folder}/results is not the same folder on ")
    assert "what the driver wrote is not there" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list((folder / "results").iterdir()) == []
    doctor = run_tunebox("doctor", "--address", cluster.address, cwd=folder, timeout=300)
    assert doctor.returncode == 1
    [error] = [line for line in doctor.stdout.splitlines() if line.startswith("error")]
    assert error.split()[1] == "storage"
    assert "what the driver wrote is not there; mount the same storage" in error


@pytest.mark.cluster
def test_a_node_that_joins_without_the_data_gets_no_trials(
    folder: Path, cluster: NodeCluster
) -> None:
    write_images(cluster.home("head"))
    text = SEARCH_FILE.replace("trials: 4", "trials: 8").replace("_epochs: 2", "_epochs: 40")
    text = text.replace("std: 0.3}}", "std: 0.3}, num_draws: 160}")
    (folder / "s.yaml").write_text(text, encoding="utf-8")
    with start_tunebox("search", "s.yaml", "--address", cluster.address, cwd=folder) as process:
        journal = folder / "results" / "s" / "journal.jsonl"
        while process.poll() is None and not (
            journal.exists() and '"reported"' in journal.read_text(encoding="utf-8")
        ):
            pass
        cluster.add("late", num_cpus=2)
        stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stdout + stderr
    again = [line for line in stdout.splitlines() if " starts again: node " in line]
    assert again
    assert all("home-late/images/train: no such folder" in line for line in again)
    assert [row["state"] for row in rows(folder)] == 8 * ["finished"]
    assert {row["epochs"] for row in rows(folder)} == {40}
