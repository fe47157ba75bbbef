from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.search.make_recording import made_recording
from tests.search.make_search import make_spec
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import write_tables
from tunebox.spec.write import search_yaml
from tunebox.trials import TrialLog

efficiency = pytest.importorskip("benchmarks.search_efficiency", exc_type=ImportError)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    spec, files = make_spec(), SearchFolder(tmp_path)
    log = TrialLog(spec.objective_set)
    log.trials = {trial.trial_id: trial for trial in made_recording().trials}
    files.search_file.write_text(search_yaml(spec), encoding="utf-8")
    write_tables(files, log, spec.space.leaves)
    return tmp_path


@pytest.mark.parametrize("method", ["tunebox", "random"])
def test_run_gives_shares_of_what_was_recorded(folder: Path, method: str) -> None:
    result = efficiency.run(efficiency.Job(folder, method, seed=0, workers=2, budget=8))
    assert 0 < result.shares[0]
    assert result.shares == sorted(result.shares)
    assert result.shares[-1] <= 1
    for goal, epochs in zip(efficiency.GOALS, result.epochs_to_goals, strict=True):
        assert (epochs <= 8 * 9) == (result.shares[-1] >= goal)


def test_row_of_the_table() -> None:
    runs = [
        efficiency.Run("a", [0.1 * n] * 4, [10.0 * n, math.inf], trials=n, seconds=1.0)
        for n in (1, 2, 3, 4, 5)
    ]
    cells = [cell.strip() for cell in efficiency.table_row("a", runs, 720).split("|")[1:-1]]
    assert cells[0] == "a"
    assert cells[1:5] == ["30.00% [20.0%, 40.0%]"] * 4
    assert cells[5:] == ["30 (5/5)", "> 720 (0/5)", "3"]
