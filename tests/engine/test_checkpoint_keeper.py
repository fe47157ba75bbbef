"""Which checkpoints stay while a search runs, and what is noted of those that are lost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from tests.engine.make_running import Made, make_running
from tests.records.make_log import OBJECTIVES, make_trial
from tunebox.decisions.events import Ended, Event, Observer, SearchStarted
from tunebox.decisions.trials import TrialLog
from tunebox.engine.checkpoint_keeper import CheckpointKeeper
from tunebox.records.checkpoints import checkpoint_files, write_checkpoint


class Shown(Observer):
    """What an observer behind the keeper sees of the trials that end."""

    def __init__(self) -> None:
        self.log: TrialLog | None = None
        self.ends: list[tuple[str, str, str | None]] = []

    def on(self, event: Event) -> None:
        if isinstance(event, Ended):
            assert self.log is not None
            record = self.log.trials[event.trial_id]
            self.ends.append((record.trial_id, record.state.value, record.checkpoint))


@dataclass
class Search:
    """A running search with a folder."""

    root: Path

    def __post_init__(self) -> None:
        self.shown = Shown()
        self.made: Made = make_running(root=self.root, observers=[Observer(), self.shown])
        self.log = self.shown.log = self.made.log

    def write(self, trial_id: str, *epochs: int) -> None:
        for epoch in epochs:
            folder = self.root / "checkpoints" / trial_id
            write_checkpoint(folder, epoch, {"weights": torch.zeros(10)})

    def run(self, clean: float, epochs: int = 3) -> str:
        """A trial with a checkpoint at each epoch that is stopped."""
        trial_id = self.made.start()
        for epoch in range(1, epochs + 1):
            self.write(trial_id, epoch)
            self.made.report(trial_id, epoch, clean)
        self.made.search.ended(trial_id)
        return trial_id

    def files(self) -> list[str]:
        found = (self.root / "checkpoints").rglob("*.pt")
        return sorted(str(path.relative_to(self.root)) for path in found)


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return Search(tmp_path)


def test_weights_are_kept_for_the_front_alone(search: Search) -> None:
    search.run(0.5)
    assert search.files() == ["checkpoints/0000/000003.pt"]
    search.run(0.4)  # dominated
    assert search.files() == ["checkpoints/0000/000003.pt"]
    search.run(0.6)  # dominates
    assert search.files() == ["checkpoints/0002/000003.pt"]
    kept = {trial_id: trial.checkpoint for trial_id, trial in search.log.trials.items()}
    assert kept == {"0000": None, "0001": None, "0002": "checkpoints/0002/000003.pt"}
    assert search.shown.ends[-1] == ("0002", "stopped", "checkpoints/0002/000003.pt")
    assert search.made.search.notes == []


def test_weights_of_a_later_epoch_are_not_kept(search: Search) -> None:
    """Before a power cut it was trained further than the journal tells."""
    trial_id = search.made.start()
    search.write(trial_id, 4, 6)
    for epoch in (1, 2, 3, 4):
        search.made.report(trial_id, epoch)
    search.made.search.ended(trial_id)
    assert search.log.trials[trial_id].checkpoint == "checkpoints/0000/000004.pt"
    assert search.files() == ["checkpoints/0000/000004.pt"]


def test_a_trial_of_the_front_without_the_weights_of_its_end_has_none(search: Search) -> None:
    trial_id = search.made.start()
    search.write(trial_id, 6)
    search.made.report(trial_id, 1)
    search.made.search.ended(trial_id)
    assert search.shown.ends == [("0000", "stopped", None)]
    assert search.files() == []
    [line] = search.made.search.notes
    assert line.startswith("trial 0000 is on the front and has lost its weights (no checkpoint)")


def test_a_paused_trial_keeps_its_checkpoints(search: Search) -> None:
    trial_id = search.made.start()
    search.write(trial_id, 1)
    search.made.report(trial_id, 1)
    search.made.search.paused(trial_id)
    search.run(0.9)
    assert search.files() == ["checkpoints/0000/000001.pt", "checkpoints/0001/000003.pt"]


def test_an_end_missing_from_the_journal_removes_nothing(tmp_path: Path) -> None:
    class Full(Observer):
        def on(self, event: Event) -> None:
            if isinstance(event, Ended):
                raise OSError(28, "No space left on device", "/out/journal.jsonl")

    made = make_running(root=tmp_path, observers=[Full()])
    trial_id = made.start()
    write_checkpoint(tmp_path / "checkpoints" / trial_id, 1, {"weights": torch.zeros(10)})
    made.search.failed(trial_id, "why", "here", None)
    assert (tmp_path / "checkpoints" / trial_id / "000001.pt").exists()


def test_a_resume_finds_the_weights_of_the_front_and_notes_lost_ones(
    tmp_path: Path,
) -> None:
    log, lines = TrialLog(OBJECTIVES), list[str]()
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
    CheckpointKeeper(tmp_path, log, lines.append).on(SearchStarted(1.0, "host", 1))
    assert {trial_id: trial.checkpoint for trial_id, trial in log.trials.items()} == {
        "0000": "checkpoints/0000/000004.pt",
        "0001": None,
        "0002": None,
        "0003": None,
    }
    for line, trial_id in zip(lines, ["0003", "0001"], strict=True):
        assert line.startswith(f"trial {trial_id} is on the front and has lost its weights (")
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.pt"))
    assert left == ["checkpoints/0000/000004.pt"]
