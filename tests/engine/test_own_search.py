"""Searches over a training loop of the user's own, from the command line: all of the platform."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import yaml

import tunebox
from tests.command_line import mlflow_runs, run_tunebox, succeed
from tunebox.errors import TuneboxError
from tunebox.records.search_folder import SearchFolder
from tunebox.spec.load import load_spec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LOOP = """\
import os, signal
from pathlib import Path
import torch

def train(config, *, seed, max_epochs, device, checkpoint):
    generator, weight = torch.Generator().manual_seed(seed), torch.zeros(3, device=device)
    saved = checkpoint.load()
    if saved is not None:
        generator.set_state(saved["generator"])
        weight = saved["weight"].to(device)
    for epoch in range(checkpoint.epoch, max_epochs):
        with open(config["diary"], "a") as diary:
            print(config["rate"], epoch + 1, file=diary)
        kill = Path(config["diary"]).with_name("kill")
        if kill.exists() and epoch == 4:  # the epoch behind a rung
            kill.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        noise = 0.01 * torch.randn(3, generator=generator).to(device)
        weight = weight + config["rate"] * (1 - weight) + noise
        checkpoint.save(weight=weight, generator=generator.get_state())
        yield {"gap": (1 - weight).abs().mean(), "cost": config["rate"] * config["width"]}
        if epoch + 1 == config["last"]:
            return
"""
FILE = """\
# Fast or cheap?
trial: loop.py:train
config:
  rate: {uniform: [0.05, 0.9]}
  width: {choice: [1, 2, 3]}
  last: 0
  diary: DIARY
objectives:
  gap: {direction: minimize, reference: 1.0}
  cost: {direction: minimize, reference: 3.0}
search: {trials: 8, min_epochs: 2, max_epochs: 6, seed: 3, max_concurrent: 1}
"""


def make_home(folder: Path, old: str = "", new: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    assert old in FILE
    text = FILE.replace("DIARY", str(folder / "diary.txt")).replace(old, new or old)
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    (folder / "loop.py").write_text(LOOP, encoding="utf-8")
    return folder


def search(home: Path, *options: str, address: str = "none") -> str:
    return succeed("search", "mine.yaml", "--out", "out", "--address", address, *options, cwd=home)


def rows(home: Path, name: str = "history") -> list[dict[str, Any]]:
    table = pq.read_table(home / "out" / "mine-1" / f"{name}.parquet")
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def history(home: Path) -> list[tuple[Any, ...]]:
    keys = ("trial_id", "epoch", "gap", "cost")
    return [tuple(row[key] for key in keys) for row in rows(home)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = make_home(tmp_path_factory.mktemp("own") / "home")
    search(home)
    return home


def test_trials_are_stopped_at_rungs_and_the_best_are_kept(undisturbed: Path) -> None:
    trials = rows(undisturbed, "trials")
    assert {row["state"] for row in trials} == {"stopped", "finished"}
    for row in trials:
        assert row["epochs"] == 6 if row["state"] == "finished" else row["epochs"] in (2, 4)
    ran = (undisturbed / "diary.txt").read_text(encoding="utf-8").splitlines()
    assert len(ran) == sum(row["epochs"] for row in trials) == len(rows(undisturbed))
    front = rows(undisturbed, "front")
    kept = (undisturbed / "out" / "mine-1" / "checkpoints").rglob("*.pt")
    assert {path.parent.name for path in kept} == {row["trial_id"] for row in front}
    assert {key for key in trials[0] if key.startswith("best/")} == {"best/gap", "best/cost"}


def test_mlflow_has_all_of_it(undisturbed: Path) -> None:
    runs = mlflow_runs(undisturbed / "out")
    [parent] = [run for run in runs if run.data.tags["tunebox.kind"] == "search"]
    assert parent.data.params["trial"] == "loop.py:train"
    assert parent.data.params["config/last"] == "0"
    last = {run.data.tags["tunebox.trial_id"]: run.data.metrics for run in runs if run != parent}
    expected = {row["trial_id"]: row["last/gap"] for row in rows(undisturbed, "trials")}
    assert {key: metrics["gap"] for key, metrics in last.items()} == expected


def test_killed_behind_a_rung_it_goes_on_from_there(undisturbed: Path, tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    (home / "kill").touch()
    killed = run_tunebox("search", "mine.yaml", "--out", "out", "--address", "none", cwd=home)
    assert killed.returncode == -signal.SIGKILL
    (home / "loop.py").unlink()  # the search has its copy
    succeed("search", "--resume", "mine-1", "--out", "out", cwd=home)
    assert history(home) == history(undisturbed)
    again = (home / "diary.txt").read_text(encoding="utf-8").splitlines()
    whole = (undisturbed / "diary.txt").read_text(encoding="utf-8").splitlines()
    assert len(again) == len(whole) + 1  # the epoch in which it was killed, and no other


def test_on_ray_the_same_search_is_the_same(
    undisturbed: Path, tmp_path: Path, ray_address: str
) -> None:
    home = make_home(tmp_path / "home")
    search(home, address=ray_address)
    assert history(home) == history(undisturbed)


@pytest.mark.parametrize("where", ["in process", "on Ray"])
def test_a_loop_that_returns_early_ends_its_trial(
    tmp_path: Path, where: str, request: pytest.FixtureRequest
) -> None:
    """Behind three epochs, between two rungs: its weights are those of the third."""
    address = request.getfixturevalue("ray_address") if where == "on Ray" else "none"
    home = make_home(tmp_path / "home", "last: 0", "last: 3")
    search(home, "--trials", "4", address=address)
    trials = rows(home, "trials")
    assert {row["state"] for row in trials} == {"stopped"}
    assert {row["epochs"] for row in trials} == {2, 3}
    by_epochs = {row["epochs"]: row for row in rows(home, "front")}
    assert Path(by_epochs[3]["checkpoint"]).name == "000003.pt"


def test_export_has_what_the_loop_saved(undisturbed: Path, tmp_path: Path) -> None:
    options = ("--out", "out", "--pick", "best:gap", "--to", tmp_path)
    succeed("export", "mine-1", *options, cwd=undisturbed)
    [folder] = tmp_path.iterdir()
    saved = torch.load(folder / "weights.pt", weights_only=True)["saved"]
    best = min(row["last/gap"] for row in rows(undisturbed, "trials"))
    assert (1 - saved["weight"]).abs().mean().item() == best
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "A run of the training loop `loop.py:train`." in card
    assert (folder / "code" / "loop.py").read_text(encoding="utf-8") == LOOP
    with pytest.raises(TuneboxError, match="trust_code=True"):
        tunebox.load_model(folder)
    loop = r"its trials are runs of your own training loop loop\.py"
    with pytest.raises(TuneboxError, match=loop):
        tunebox.load_model(folder, trust_code=True)
    trained = ("train", folder / "trial.yaml", "--trust-code", "--to", "again", "--out", "trained")
    succeed(*trained, cwd=tmp_path)
    again = torch.load(tmp_path / "again" / "weights.pt", weights_only=True)["saved"]
    assert torch.equal(again["weight"], saved["weight"])


def test_a_pick_needs_a_known_direction(undisturbed: Path, tmp_path: Path) -> None:
    done = run_tunebox(
        *("export", "mine-1", "--out", "out", "--pick", "best:loss", "--to", tmp_path),
        cwd=undisturbed,
    )
    assert done.returncode == 2
    assert "pick one of all, knee, best:gap, best:cost" in done.stderr


def test_a_loop_that_raises_fails_with_its_traceback(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    loop = LOOP.replace("        noise = ", '        assert epoch < 1, "no more"\n        noise = ')
    (home / "loop.py").write_text(loop, encoding="utf-8")
    options = ("--out", "out", "--address", "none", "--trials", "2")
    run_tunebox("search", "mine.yaml", *options, cwd=home)
    for row in rows(home, "trials"):
        assert (row["state"], row["epochs"]) == ("failed", 1)
        assert row["reason"] == "AssertionError: no more"
    folder = SearchFolder(home / "out" / "mine-1")
    assert 'assert epoch < 1, "no more"' in (folder.errors / "0000.txt").read_text(encoding="utf-8")


def test_a_loop_that_lacks_an_objective_fails_in_one_line(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "  gap:", "  gasp:")
    options = ("--out", "out", "--address", "none", "--trials", "1")
    run_tunebox("search", "mine.yaml", *options, cwd=home)
    [row] = rows(home, "trials")
    assert row["state"] == "failed"
    assert row["reason"].endswith(
        "train: yields gap, cost without 'gasp', by which the search file judges it"
    )


def test_a_bad_loop_is_one_line_before_anything_starts(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "loop.py:train", "loop.py:trian")
    done = run_tunebox("search", "mine.yaml", "--out", "out", cwd=home)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "mine.yaml:2: trial: " in done.stderr
    assert not (home / "out").exists()


def test_a_search_file_without_a_search_is_read_from_its_copy(undisturbed: Path) -> None:
    folder = SearchFolder(undisturbed / "out" / "mine-1")
    assert (folder.code / "loop.py").read_text(encoding="utf-8") == LOOP
    spec = load_spec(str(folder.search_file), code=folder.code)
    assert (
        yaml.safe_load(folder.search_file.read_text(encoding="utf-8"))["trial"] == "loop.py:train"
    )
    assert spec.references == ["loop.py:train"]
