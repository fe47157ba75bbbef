"""The table of all methods: as many settings each, chosen on validation, taken up where it was."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import methods_table
from benchmarks.methods_table import (
    Job,
    best_setting,
    jobs,
    load_space,
    methods_of,
    print_table,
    read_results,
    setting_of,
)
from tunebox.spec.search_spec import SearchSpec

PAGE = Path(__file__).parents[2] / "docs" / "methods-table.md"


@pytest.fixture
def arguments(monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    options = ["--results", "absent", "--settings", "2", "--seeds", "2"]
    monkeypatch.setattr(sys, "argv", ["methods_table", *options])
    return methods_table.parse_arguments()


@pytest.fixture
def spec(arguments: argparse.Namespace) -> SearchSpec:
    return load_space(arguments)


def result(job: Job, accuracy: float) -> dict[str, Any]:
    """Like a line of the results; the accuracy on test images is the opposite."""
    columns = dict.fromkeys(methods_table.COLUMNS, 1 - accuracy)
    return {
        "method": job.method,
        "setting": job.setting,
        "seed": job.seed,
        "validation": {"clean_accuracy": accuracy, "noisy_accuracy": accuracy},
        "test": columns if job.seed > 0 else {},
        "seconds_of_training": 2.0,
        "seconds": 3.0,
    }


def test_page_has_the_methods_of_the_search_file(spec: SearchSpec) -> None:
    named = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(methods_of(spec))


def test_a_setting_depends_on_its_number_and_method_alone(spec: SearchSpec) -> None:
    for method in ("gce", "gini"):
        first, again, other = (
            setting_of(spec, Job(method, number, seed)) for number, seed in ((0, 0), (0, 3), (1, 0))
        )
        assert first == again != other
        assert method in first.losses.terms
    assert first.model.width == 8  # type: ignore[attr-defined]


def test_the_best_on_validation_is_trained_again(
    spec: SearchSpec, arguments: argparse.Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    methods = methods_of(spec)
    results: dict[Job, dict[str, Any]] = {Job("gce", 0, 0): result(Job("gce", 0, 0), 0.9)}
    done = []
    for job in jobs(spec, results, arguments):
        done.append(job)
        results[job] = result(job, 0.9 if job.setting == len(job.method) % 2 else 0.1)
    assert len(done) == 4 * len(methods) - 1  # one was there
    assert done[: len(methods) - 1] == [Job(m, 0, 0) for m in methods if m != "gce"]
    assert all(job.setting == best_setting(results, job.method, 2) for job in done if job.seed > 0)
    assert list(jobs(spec, results, arguments)) == []
    print_table(spec, results, arguments)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| `cross_entropy` | 10.0 ± 0.0 |")
    assert lines[-1] == f"{4 * len(methods)} trainings, 8 minutes of CPU"


def test_results_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "methods.jsonl"
    assert read_results(path) == {}
    line = result(Job("gce", 1, 2), 0.5)
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert read_results(path) == {Job("gce", 1, 2): line}
