from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engine.make_recording import made_recording
from tests.engine.make_search import make_spec
from tunebox.decisions.trials import TrialLog
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import write_tables
from tunebox.spec.write import search_yaml

confirmed_fronts = pytest.importorskip("benchmarks.confirmed_fronts", exc_type=ImportError)


def test_losses_and_coverage_of_a_confirmed_recording(tmp_path: Path) -> None:
    spec, files = make_spec(), SearchFolder(tmp_path)
    log = TrialLog(spec.objective_set)
    log.trials = {trial.trial_id: trial for trial in made_recording().trials}
    files.search_file.write_text(search_yaml(spec), encoding="utf-8")
    write_tables(files, log, spec.space.leaves)
    job = confirmed_fronts.Job(tmp_path, seed=0, trials=40, share=0.3, most_seeds=4)
    outcome = confirmed_fronts.run(job)
    for losses in (outcome.front, outcome.knee, outcome.bend):
        assert min(losses) >= -1e-12  # nothing is better than all that is there
    assert (outcome.num_covered <= outcome.num_intervals).all()
    searched, confirmed = outcome.epochs
    assert 0 < confirmed <= 0.3 * searched
    before, after = outcome.too_good
    assert np.abs(after).mean() < np.abs(before).mean() + 1
    confirmed_fronts.print_outcomes("made", [outcome])
