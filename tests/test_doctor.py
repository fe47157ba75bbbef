"""The doctor's lines on a healthy cluster of one node, and what it says when something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import free_port, run_tunebox
from tunebox.doctor import compare_with_head
from tunebox.search.node_probe import software
from tunebox.search.readiness import describe_differences, describe_software, lacking


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


def test_an_absent_file_is_a_mistake(tmp_path: Path) -> None:
    done = run_tunebox("doctor", "absent.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_versions_here_and_on_the_head() -> None:
    here = software()
    printed = f"ok       cluster   joined\nok       versions  {describe_software(here)}\n"
    assert compare_with_head(printed).level == "ok"
    assert here["ray"] is not None
    other = compare_with_head(printed.replace(f"ray {here['ray']}", "ray 1.0"))
    assert other.level == "warning"
    assert f"ray {here['ray']} here and 1.0 there" in other.text


def test_differences_between_nodes() -> None:
    here = software()
    assert lacking(here) is None
    assert describe_differences(here, here) is None
    assert describe_differences({**here, "code": "0"}, here) == (
        f"another tunebox {here['tunebox']} than here"
    )
    assert lacking({**here, "tunebox": None}) == "tunebox not installed"
    assert str(describe_differences({**here, "python": "3.9.1"}, here)).startswith("python 3.9.1")
