"""What a search finds in its folder when it begins, without Ray's loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.records.make_log import OBJECTIVES, make_trial
from tests.search.make_search import SEARCH_FILE
from tunebox.checkpoints import checkpoint_files, write_checkpoint
from tunebox.events import Planned, Reported, Started, TrialEvent
from tunebox.search.past import take_up
from tunebox.search.run import _find_weights, run_search, why_none
from tunebox.spec.load import spec_from_source
from tunebox.spec.space import Values
from tunebox.spec.yaml_source import parse_yaml
from tunebox.trials import Report, TrialLog


def test_the_weights_of_the_front_are_noted_and_lost_ones_told(tmp_path: Path) -> None:
    log = TrialLog(OBJECTIVES)
    points = {"0003": (0.5, 0.5), "0001": (0.2, 0.9), "0000": (0.9, 0.2), "0002": (0.1, 0.1)}
    for trial_id, (clean, noisy) in points.items():
        log.trials[trial_id] = make_trial(trial_id, clean, noisy, epochs=4)
        for epoch in (2, 4):
            folder = tmp_path / "checkpoints" / trial_id
            folder.parent.mkdir(exist_ok=True)
            write_checkpoint(folder, epoch, {"weights": torch.zeros(1000)})
    damaged, early = tmp_path / "checkpoints" / "0003", tmp_path / "checkpoints" / "0001"
    newest = checkpoint_files(damaged)[0]
    newest.write_bytes(newest.read_bytes()[:-500])
    checkpoint_files(early)[0].unlink()
    lines = _find_weights(log, tmp_path)
    assert {trial_id: trial.checkpoint for trial_id, trial in log.trials.items()} == {
        "0000": "checkpoints/0000/000004.pt",
        "0001": None,
        "0002": None,
        "0003": None,
    }
    for line, trial_id in zip(lines, ["0003", "0001"], strict=True):
        assert line.startswith(f"trial {trial_id} is on the front and has lost its weights (")


VALUES: Values = {
    **{"model/width": 8, "model/depth": 2, "losses": "clean_only"},
    **{"optimizer/lr": 0.1, "optimizer/momentum": 0.5},
}


def events_of_a_trial(num_reports: int) -> list[TrialEvent]:
    metrics = {"clean_accuracy": 0.5, "noisy_accuracy": 0.5, "train_loss": 0.5}
    events: list[TrialEvent] = [Planned("0000", VALUES), Started("0000", 1.0)]
    for epoch in range(1, num_reports + 1):
        events.append(Reported("0000", Report(epoch, metrics, 2.0), "node"))
    return events


@pytest.mark.parametrize("is_damaged", [False, True])
def test_an_end_that_is_made_up_for_keeps_the_weights_that_are_whole(
    tmp_path: Path, is_damaged: bool
) -> None:
    spec = spec_from_source(parse_yaml(SEARCH_FILE, "made.yaml"), {"trials": 1})
    folder = tmp_path / "checkpoints" / "0000"
    folder.parent.mkdir()
    for epoch in (3, 9):
        write_checkpoint(folder, epoch, {"weights": torch.zeros(1000)})
    newest = folder / "000009.pt"
    if is_damaged:
        newest.write_bytes(newest.read_bytes()[:-500])
    past = take_up(spec, events_of_a_trial(9))
    outcome = run_search(spec, past, tmp_path, [])
    [trial] = outcome.log.front()
    kept = None if is_damaged else "checkpoints/0000/000009.pt"
    assert trial.checkpoint == kept
    assert [path.name for path in checkpoint_files(folder)] == ([] if is_damaged else [newest.name])
    assert len(outcome.notes) == is_damaged


def test_a_resume_whose_budget_is_spent_says_what_to_raise() -> None:
    events = events_of_a_trial(1)

    def why(**options: Any) -> str | None:
        spec = spec_from_source(parse_yaml(SEARCH_FILE, "made.yaml"), options)
        return why_none(spec, take_up(spec, events))

    assert why(epochs=1) == (
        "the budget of 1 epochs is spent, so nothing is trained; to go on: tunebox search "
        "--resume NAME --epochs N    (N above the 1 that are spent)"
    )
    assert why(epochs=2) is None
    assert why(time_budget=0.001) is None  # it counts from the resume
