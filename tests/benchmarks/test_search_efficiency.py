from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.make_recording import made_recording
from tests.engine.make_search import make_spec
from tunebox.decisions.trials import TrialLog
from tunebox.engine.efficiency import GOALS
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import write_tables
from tunebox.spec.write import search_yaml

search_efficiency = pytest.importorskip("benchmarks.search_efficiency", exc_type=ImportError)


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
    result = search_efficiency.run(
        search_efficiency.Job(folder, method, seed=0, workers=2, budget=8)
    )
    assert 0 < result.hypervolumes[0]
    assert list(result.hypervolumes) == sorted(result.hypervolumes)
    assert result.hypervolumes[-1] <= 1
    for goal, epochs in zip(GOALS, result.epochs_to, strict=True):
        assert (epochs <= 8 * 9) == (result.hypervolumes[-1] >= goal)
