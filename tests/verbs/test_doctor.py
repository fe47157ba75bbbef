"""The doctor's lines on a healthy cluster of one node, and what it says when something is wrong."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.command_line import SEARCH_FILE, free_port, run_tunebox
from tests.data.image_files import png
from tests.remote.here import HereHead
from tunebox.engine.nodes.preparation import (
    describe_differences,
    describe_software,
    missing_packages,
)
from tunebox.engine.nodes.probes import software
from tunebox.errors import ClusterError
from tunebox.verbs.doctor import compare_with_head, examine, examine_from_home
from tunebox.verbs.node_findings import _storage


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_each_line_says_what_was_found(tmp_path: Path, ray_address: str) -> None:
    (tmp_path / "s.yaml").write_text(
        "data: {kind: mnist, root: absent}\nmodel: {kind: mlp}\n"
        "losses: {cross_entropy: {on: clean}}\noptimizer: {kind: sgd, lr: 0.1}\n"
        "evaluation: {noise: {kind: gaussian, std: 0.8}}\n",
        encoding="utf-8",
    )
    away = f"http://me:secret@127.0.0.1:{free_port()}"
    options = ("--address", ray_address, "--tracking-uri", away)
    done = run_tunebox("doctor", "s.yaml", *options, cwd=tmp_path, timeout=250)
    assert (done.returncode, done.stderr) == (1, "")
    levels = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines()}
    assert {what for what, level in levels.items() if level == "error"} == {"data", "MLflow"}
    assert {what for what, level in levels.items() if level != "error"} == {
        *("cluster", "versions", "node", "software", "storage", "clock"),
    }
    assert "mnist is not in absent" in done.stdout
    assert "give another --tracking-uri" in done.stdout
    assert "secret" not in done.stdout
    assert [path.name for path in (tmp_path / "results").iterdir()] == []


@pytest.fixture
def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HereHead:
    """A head on which no Ray runs, and whose commands run in another folder than ours."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "COLUMNS": "200"}
    environment |= {"RAY_TMPDIR": str(elsewhere), "PYTHONPATH": str(Path(__file__).parents[1])}
    write_program(tmp_path, f'cd "{elsewhere}" && exec "{sys.executable}" -m tunebox "$@"')
    made = HereHead(environment=environment)
    monkeypatch.setattr("tunebox.remote.cluster_file.find_head", lambda file: made)
    return made


def write_program(folder: Path, shell: str) -> None:
    """Make ``shell`` what the head knows as ``tunebox``."""
    program = folder / "tunebox"
    program.write_text(f"#!/bin/sh\n{shell}\n", encoding="utf-8")
    program.chmod(0o755)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.usefixtures("head")
def test_no_ray_is_started_on_a_head(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"  # not where the head looks
    file.write_text(SEARCH_FILE, encoding="utf-8")
    printed, here = examine_from_home(
        "cluster.yaml", str(file), {"--out": "out", "--address": None}
    )
    assert [line.split()[:2] for line in printed.splitlines()] == [
        ["ok", "versions"],
        ["error", "cluster"],
        ["ok", "MLflow"],
    ]
    assert f"no Ray runs on {socket.gethostname()}; start it with: ray up FILE" in printed
    assert here.level == "ok"
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.usefixtures("head")
@pytest.mark.parametrize(
    ("printed", "code"), [("ok versions tunebox 1", 1), ("ok cluster joined", 0), ("", 137)]
)
def test_a_doctor_that_dies_on_the_head_is_one_line(
    tmp_path: Path, printed: str, code: int
) -> None:
    write_program(tmp_path, f"echo '{printed}'; echo 'a\nKeyError: x' >&2; exit {code}")
    with pytest.raises(ClusterError, match=r"on the head of cluster.yaml: KeyError: x$"):
        examine_from_home("cluster.yaml", None, {})


def test_a_folder_that_cannot_be_made_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    [finding] = _storage([], tmp_path / "file" / "results")
    assert (finding.level, finding.what) == ("error", "storage")
    assert f"{tmp_path}/file" in finding.text
    assert finding.text.endswith("make it writable here, or give another --out")


@pytest.mark.parametrize("root", ["absent", "."])
def test_without_ray_this_machine_is_checked(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/1", "a/2", "a/3", "b/1", "b/2", "b/3"):
        path = tmp_path / "train" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(np.full((4, 4), len(list(tmp_path.rglob("*.png"))), np.uint8)))
    data = f"data: {{kind: image_folder, root: {root}, image_size: 4}}\n"
    text = "".join(line for line in SEARCH_FILE.splitlines(True) if not line.startswith("data"))
    (tmp_path / "s.yaml").write_text(data + text, encoding="utf-8")
    monkeypatch.setattr("tunebox.verbs.doctor.store_trouble", lambda uri: None)
    found = list(examine("s.yaml", tmp_path / "results", "none", None))
    levels = {finding.what: finding.level for finding in found}
    assert levels.pop("data") == ("error" if root == "absent" else "ok")
    assert levels == dict.fromkeys(("versions", "cluster", "node", "storage", "MLflow"), "ok")


def test_an_absent_file_is_a_mistake(tmp_path: Path) -> None:
    done = run_tunebox("doctor", "absent.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_versions_here_and_on_the_head() -> None:
    here = software()
    line = f"ok       versions  {describe_software(here)}"
    assert compare_with_head(line).level == "ok"
    assert here["ray"] is not None
    other = compare_with_head(line.replace(f"ray {here['ray']}", "ray 1.0"))
    assert other.level == "warning"
    assert f"ray {here['ray']} here and 1.0 there" in other.text


def test_differences_between_nodes() -> None:
    here = software()
    assert missing_packages(here) is None
    assert describe_differences(here, here) is None
    assert describe_differences({**here, "code": "0"}, here) == (
        f"another tunebox {here['tunebox']} than here"
    )
    assert missing_packages({**here, "tunebox": None}) == "tunebox not installed"
    assert str(describe_differences({**here, "python": "3.9.1"}, here)).startswith("python 3.9.1")
