"""Searches over parts of the user's own: on nodes, resumed, exported, from Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import tunebox
from tests.command_line import run_tunebox, succeed
from tests.engine.nodes.node_cluster import node_cluster
from tests.parts.own_code import COMMANDS, FILES, write_own
from tunebox.errors import SearchFileError, TuneboxError
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import read_log

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_the_page_on_extending_holds_typed_as_it_is(tmp_path: Path, ray_address: str) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    # a Ray that runs is joined: to start one for each command takes longer than the commands
    environment = {**os.environ, "PATH": programs, "RAY_ADDRESS": ray_address}
    printed = []
    for command in COMMANDS:
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        printed.append(done.stdout)
    assert len(COMMANDS) == 8
    assert "default 8" in printed[1]
    assert len(read_log(SearchFolder(tmp_path / "results" / "camera")).trials) == 4
    assert printed[-1].endswith("2 trials\n")


@pytest.mark.parametrize("module", ["parts.py", "my_package.my_parts"])
def test_two_nodes_run_code_that_is_not_installed_there(module: str, tmp_path: Path) -> None:
    write_own(tmp_path / "work", module)
    with node_cluster(tmp_path) as cluster:
        cluster.add("second")
        arguments = ("--name", "s", "--address", cluster.address)
        done = run_tunebox("search", "camera.yaml", *arguments, cwd=tmp_path / "work", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    log = read_log(SearchFolder(tmp_path / "work" / "results" / "s"))
    assert len(log.trials) == 4
    assert all(trial.state.value in ("finished", "stopped") for trial in log.trials.values())
    assert all("noisy_top2" in trial.last_metrics for trial in log.trials.values())


def test_a_resume_uses_the_code_as_it_was_recorded(tmp_path: Path) -> None:
    file = write_own(tmp_path)
    whole = tunebox.search(file, name="whole", out=str(tmp_path / "results"), address="none")
    cut = tunebox.search(file, name="cut", out=str(tmp_path / "results"), address="none", epochs=4)
    assert len(cut.log.trials) < 4
    shutil.copy(tmp_path / "parts.py", tmp_path / "kept.py")
    (tmp_path / "parts.py").write_text("raise RuntimeError('another time')", encoding="utf-8")
    resumed = tunebox.search(
        resume=True, name="cut", out=str(tmp_path / "results"), epochs=10_000, address="none"
    )
    assert metrics_of(resumed) == metrics_of(whole)
    copy = tmp_path / "results" / "cut" / "code" / "parts.py"
    copy.write_text(copy.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    with pytest.raises(TuneboxError, match=r"parts.py is not the code that was recorded"):
        tunebox.search(resume=True, name="cut", out=str(tmp_path / "results"), address="none")


def test_an_exported_model_runs_its_code_only_if_asked_to(tmp_path: Path) -> None:
    file = write_own(tmp_path)
    found = tunebox.search(file, name="s", out=str(tmp_path / "results"), address="none", trials=2)
    exported = tunebox.export("s", pick="knee", to=tmp_path / "exported", out=tmp_path / "results")
    [folder] = exported.folders
    assert (folder / "code" / "parts.py").read_bytes() == (tmp_path / "parts.py").read_bytes()
    with pytest.raises(SearchFileError, match=r"code of an exported folder, .* trust_code=True"):
        tunebox.load_model(folder)
    trial = folder / "trial.yaml"
    as_exported = trial.read_text(encoding="utf-8").partition("# crc32")[0]
    for place in ("code/parts.py", f"{folder}/code/parts.py", "timeit", "code.parts"):
        trial.write_text(as_exported.replace("parts.py", place), encoding="utf-8")
        with pytest.raises(SearchFileError, match="trust_code=True"):
            tunebox.load_model(folder)
    trial.write_text(as_exported, encoding="utf-8")
    model = tunebox.load_model(folder, trust_code=True)
    assert model(torch.rand(2, 1, 8, 8)).shape == (2, 10)
    assert "trust_code=True" in (folder / "README.md").read_text(encoding="utf-8")
    assert found.log.front()
    evaluated = succeed("evaluate", str(folder), "--trust-code", cwd=tmp_path)
    assert "patch_mask" in evaluated
    refused = run_tunebox("evaluate", str(folder), cwd=tmp_path)
    assert refused.returncode == 2
    assert "--trust-code" in refused.stderr


def top2(logits: torch.Tensor, labels: torch.Tensor) -> float:
    return float((logits.topk(2).indices == labels[:, None]).any(1).double().mean())


def test_functions_and_classes_are_parts_of_a_dict(tmp_path: Path, ray_address: str) -> None:
    def network(num_classes: int, width: int = 8) -> torch.nn.Module:
        layers = torch.nn.Linear(64, width), torch.nn.ReLU(), torch.nn.Linear(width, num_classes)
        return torch.nn.Sequential(torch.nn.Flatten(), *layers)

    spec: dict[str, Any] = {
        "data": {"kind": "digits", "train_images": 200},
        "model": {"kind": network, "width": {"choice": [4, 8]}},
        "losses": {"cross_entropy": {"on": "clean"}},
        "optimizer": {"kind": torch.optim.RMSprop, "lr": 0.01},
        "evaluation": {
            "noise": {"kind": "gaussian", "std": 0.3},
            "metrics": ["clean_accuracy", "noisy_accuracy", top2],
        },
        "search": {"trials": 2, "max_epochs": 2},
    }
    out = str(tmp_path / "results")
    on_ray = tunebox.search(spec, name="ray", out=out, address=ray_address, max_concurrent=1)
    here = tunebox.search(spec, name="here", out=out, address="none")
    assert metrics_of(on_ray) == metrics_of(here)
    assert all("clean_top2" in trial.last_metrics for trial in here.log.trials.values())
    again = tunebox.search(resume=True, name="here", out=out, trials=3, address="none")
    assert len(again.log.trials) == 3


NOTEBOOK = """
import torch, tunebox
def network(num_classes: int, width: int = 8):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, num_classes))
def loss(logits, labels, *, power: float):
    return torch.nn.functional.cross_entropy(logits, labels) ** power
spec = {
    "data": {"kind": "digits", "train_images": 200},
    "model": {"kind": network},
    "losses": {"mine": {"kind": loss, "power": {"uniform": [0.5, 2.0]}}},
    "optimizer": {"kind": "sgd", "lr": 0.1},
    "evaluation": {"noise": {"kind": "gaussian", "std": 0.3}},
    "search": {"trials": 2, "max_epochs": 2, "name": "n", "address": ADDRESS},
}
result = tunebox.search(spec)
print(len(result.log.trials), "trials,", len(result.log.front()), "on the front")
"""


def test_a_notebook_searches_over_what_its_cells_define(tmp_path: Path, ray_address: str) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.v4.new_notebook()
    source = NOTEBOOK.replace("ADDRESS", repr(ray_address))
    notebook.cells = [nbformat.v4.new_code_cell(source)]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    client = nbclient.NotebookClient(
        notebook, timeout=200, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    printed = "".join(output.get("text", "") for output in notebook.cells[0].outputs)
    assert printed.startswith("2 trials, "), printed


def metrics_of(result: Any) -> dict[str, list[dict[str, float]]]:
    """Return every report by trial, without what a clock measures."""
    clocks = ("train_seconds", "images_per_second")
    return {
        trial.trial_id: [
            {name: value for name, value in report.metrics.items() if name not in clocks}
            for report in trial.history
        ]
        for trial in result.log.trials.values()
    }
