"""A worker that dies while it changes from one trial to the next: Ray Tune gives that one up."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle

import tunebox
from tests.command_line import SEARCH_FILE
from tunebox.search import run
from tunebox.search.trainable import TrialTrainable
from tunebox.trials import TrialState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

NUM_DEATHS = 2


class DyingTrainable(TrialTrainable):
    """Dies with its process when it is to become another trial, the first times."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        deaths = Path(new_config["checkpoints"]).parents[2] / "deaths"
        deaths.mkdir(exist_ok=True)
        if len(list(deaths.iterdir())) < NUM_DEATHS:
            (deaths / new_config["trial_id"]).touch()
            os._exit(1)
        return bool(super().reset_config(new_config))


@pytest.mark.usefixtures("joined")
def test_it_is_run_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers have no tests
    monkeypatch.setattr(run, "TrialTrainable", DyingTrainable)
    (tmp_path / "methods.yaml").write_text(SEARCH_FILE, encoding="utf-8")
    result = tunebox.search(
        str(tmp_path / "methods.yaml"),
        trials=6,
        max_epochs=2,
        max_concurrent=1,
        name="lost",
        out=str(tmp_path / "results"),
    )
    lost = sorted(path.name for path in (tmp_path / "results" / "deaths").iterdir())
    assert len(lost) == NUM_DEATHS
    assert sorted(result.log.trials) == [f"{number:04d}" for number in range(6)]
    for trial in result.log.trials.values():
        assert trial.state is TrialState.FINISHED, trial
        assert [report.epoch for report in trial.history] == [1, 2]
    starting_again = [line for line in result.warnings if "starts again" in line]
    assert sorted(line.split()[1] for line in starting_again) == lost
