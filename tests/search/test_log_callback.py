"""What Ray says of trials, in the log, on the disk and to observers; without Ray's loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.search.make_search import make_spec
from tunebox.search.budget import Budget
from tunebox.search.ending import Ending, FailureLimits
from tunebox.search.log_callback import LogCallback
from tunebox.search.past import take_up
from tunebox.trials import Report, SearchObserver, TrialRecord, TrialState


@dataclass
class RayTrial:
    """What the callback looks at of Ray's own class."""

    trial_id: str
    error_file: str | None = ""
    last_result: dict[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, Any]:
        return {"trial_id": self.trial_id, "values": {}}


class Told(SearchObserver):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.notes: list[str] = []

    def noted(self, line: str) -> None:
        self.notes.append(line)

    def trial_started(self, trial: TrialRecord) -> None:
        self.lines.append(f"{trial.trial_id} started")

    def trial_reported(self, trial: TrialRecord, report: Report) -> None:
        self.lines.append(f"{trial.trial_id} epoch {report.epoch}")

    def trial_ended(self, trial: TrialRecord) -> None:
        self.lines.append(f"{trial.trial_id} {trial.state.value} {trial.checkpoint}")


@dataclass
class Search:
    """A callback and all that it writes to."""

    root: Path
    told: Told = field(default_factory=Told)

    def __post_init__(self) -> None:
        self.past = take_up(make_spec())
        self.log = self.past.log
        self.ending = Ending(Budget(make_spec().search, self.log))
        limits = FailureLimits(1.0)
        self.callback = LogCallback(self.past, self.told, self.root, 9, limits, self.ending)

    def report(self, trial: RayTrial, epoch: int, clean: float, **more: Any) -> None:
        metrics = {"clean_accuracy": clean, "noisy_accuracy": 0.5}
        result = {"epoch": epoch, "metrics": metrics, "hostname": "node", **more}
        trial.last_result = result
        self.callback.on_trial_result(0, [], trial, result)

    def run(self, trial_id: str, clean: float) -> None:
        """A trial that is stopped at epoch 3, with a checkpoint on the way and one at its end."""
        trial = RayTrial(trial_id)
        self.callback.on_trial_start(0, [], trial)
        folder = self.root / "checkpoints" / trial_id
        folder.mkdir(parents=True)
        for epoch in (1, 2, 3):
            (folder / f"{epoch:06d}.pt").write_bytes(b"weights")
            self.report(trial, epoch, clean)
        self.callback.on_trial_complete(0, [], trial)

    def files(self) -> list[str]:
        found = (self.root / "checkpoints").rglob("*.pt")
        return sorted(str(path.relative_to(self.root)) for path in found)


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return Search(tmp_path)


def test_weights_are_kept_for_the_front_alone(search: Search) -> None:
    search.run("0000", 0.5)
    assert search.files() == ["checkpoints/0000/000003.pt"]
    search.run("0001", 0.4)  # dominated
    assert search.files() == ["checkpoints/0000/000003.pt"]
    search.run("0002", 0.6)  # dominates
    assert search.files() == ["checkpoints/0002/000003.pt"]
    kept = {trial_id: trial.checkpoint for trial_id, trial in search.log.trials.items()}
    assert kept == {"0000": None, "0001": None, "0002": "checkpoints/0002/000003.pt"}
    assert search.told.lines[-1] == "0002 stopped checkpoints/0002/000003.pt"


def test_weights_of_a_later_epoch_are_not_those_of_the_trial(search: Search) -> None:
    """Before a power cut it was trained further than the journal tells."""
    folder = search.root / "checkpoints" / "0000"
    folder.mkdir(parents=True)
    for epoch in (4, 6):
        (folder / f"{epoch:06d}.pt").write_bytes(b"weights")
    trial = RayTrial("0000")
    search.callback.on_trial_start(0, [], trial)
    for epoch in (1, 2, 3, 4):
        search.report(trial, epoch, 0.5)
    search.callback.on_trial_complete(0, [], trial)
    assert search.log.trials["0000"].checkpoint == "checkpoints/0000/000004.pt"
    assert search.files() == ["checkpoints/0000/000004.pt"]


def test_a_trial_of_the_front_without_the_weights_of_its_end_has_none(search: Search) -> None:
    folder = search.root / "checkpoints" / "0000"
    folder.mkdir(parents=True)
    (folder / "000006.pt").write_bytes(b"weights")
    trial = RayTrial("0000")
    search.callback.on_trial_start(0, [], trial)
    search.report(trial, 1, 0.5)
    search.callback.on_trial_complete(0, [], trial)
    assert search.told.lines[-1] == "0000 stopped None"
    assert search.files() == []
    [line] = search.callback.notes
    assert line.startswith("trial 0000 is on the front and has lost its weights (no checkpoint)")


def test_a_repeated_epoch_is_not_news(search: Search) -> None:
    trial = RayTrial("0000")
    for _ in range(2):  # the second time on another worker
        search.callback.on_trial_start(0, [], trial)
        for epoch in (1, 2):
            search.report(trial, epoch, 0.5)
    search.report(trial, 3, 0.5)
    assert search.told.lines == ["0000 started", *(f"0000 epoch {epoch}" for epoch in (1, 2, 3))]
    assert [report.epoch for report in search.log.trials["0000"].history] == [1, 2, 3]


def test_a_trial_of_before_a_resume_starts_once_more(search: Search) -> None:
    record = TrialRecord("0000", {}, 1.0, TrialState.INTERRUPTED, end_time=2.0)
    search.log.trials["0000"] = record
    search.callback.on_trial_start(0, [], RayTrial("0000"))
    assert search.told.lines == ["0000 started"]
    assert (record.state, record.start_time, record.end_time) == (TrialState.RUNNING, 1.0, None)


def test_a_trial_that_raised_keeps_its_traceback(search: Search) -> None:
    trial = RayTrial("0000")
    search.callback.on_trial_start(0, [], trial)
    failure = {"failed": "KeyError: 'x'", "failed_at": "here", "traceback": "Traceback .."}
    trial.last_result = failure
    search.callback.on_trial_result(0, [], trial, failure)
    search.callback.on_trial_complete(0, [], trial)
    record = search.log.trials["0000"]
    assert (record.state, record.reason) == (TrialState.FAILED, "KeyError: 'x'")
    assert (search.root / "errors" / "0000.txt").read_text() == "Traceback .."
    assert search.ending.reason is None
    for trial_id in ("0001", "0002"):
        again = RayTrial(trial_id, last_result=failure)
        search.callback.on_trial_start(0, [], again)
        search.callback.on_trial_complete(0, [], again)
    assert search.ending.trouble is not None
    assert search.ending.traceback == "Traceback .."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "Failure # 1 (occurred at noon)\nolder\nFailure # 2 (occurred at one)\n"
            "The actor died unexpectedly before finishing this task.\n\tclass_name: X\n",
            "its worker process died: The actor died unexpectedly before finishing this task. "
            "class_name: X",
        ),
        (
            "Failure # 1 (occurred at noon)\nray::step()\nRuntimeError: can't allocate memory\n",
            "RuntimeError: can't allocate memory",
        ),
    ],
)
def test_a_lost_trial_says_why(search: Search, tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "error.txt").write_text(text, encoding="utf-8")
    trial = RayTrial("0000", str(tmp_path / "error.txt"))
    search.callback.on_trial_start(0, [], trial)
    search.callback.on_trial_recover(0, [], trial)
    assert search.callback.notes == [f"trial 0000 starts again: {reason}"] == search.told.notes
    assert search.log.trials["0000"].state is TrialState.RUNNING
    search.callback.on_trial_error(0, [], trial)
    record = search.log.trials["0000"]
    assert (record.state, record.reason) == (TrialState.FAILED, reason)


def test_a_trial_that_ray_gives_up_too_early_has_not_failed(search: Search) -> None:
    search.past.waiting["0000"] = {}
    search.callback.on_trial_error(0, [], RayTrial("0000"))
    assert search.told.lines == []
    search.callback.on_trial_error(0, [], RayTrial("0001"))
    assert search.told.lines == ["0001 started", "0001 failed None"]


def test_workers_that_die_alike_stop_the_search_whatever_their_numbers(
    search: Search, tmp_path: Path
) -> None:
    for number, trial_id in enumerate(("0000", "0001", "0002")):
        path = tmp_path / f"error-{number}.txt"
        path.write_text(
            f"Failure # {number} (occurred at noon)\nThe actor died because its node was lost.\n"
            f"\tactor_id: {number}3fa0{number:012x}\n\tpid: 17{number}\n\tip: 10.0.0.{number}\n",
            encoding="utf-8",
        )
        assert search.ending.trouble is None
        search.callback.on_trial_error(0, [], RayTrial(trial_id, str(path)))
    assert search.ending.trouble is not None
    assert "the first 3 trials failed in the same way" in search.ending.trouble
    assert "pid: 172" in search.ending.trouble  # the last one, as it is


@pytest.mark.parametrize("text", [None, "", "nothing that Ray writes"])
def test_a_trial_that_failed_without_a_word_is_failed(
    search: Search, tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "error.txt"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    for trial_id, file in (("0000", str(path)), ("0001", None)):
        trial = RayTrial(trial_id, file)
        search.callback.on_trial_start(0, [], trial)
        search.callback.on_trial_recover(0, [], trial)
        search.callback.on_trial_error(0, [], trial)
        assert search.log.trials[trial_id].state is TrialState.FAILED
    reasons = [trial.reason for trial in search.log.trials.values()]
    assert reasons == [text or "Ray gave no reason", "Ray gave no reason"]


def test_an_epoch_without_its_checkpoint_is_for_the_resume(search: Search) -> None:
    trial = RayTrial("0000")
    search.callback.on_trial_start(0, [], trial)
    search.report(trial, 1, 0.5)
    search.report(trial, 2, 0.5, unwritable="/out: No space left on device", notes=["a line"])
    assert search.ending.trouble == (
        "a checkpoint cannot be written on node: /out: No space left on device"
    )
    assert search.callback.notes == ["a line"] == search.told.notes
    search.callback.on_trial_complete(0, [], trial)  # it was the last one
    search.report(trial, 3, 0.5)  # it was not, and the next came before the search ended
    search.callback.on_trial_complete(0, [], trial)
    assert search.told.lines == ["0000 started", "0000 epoch 1"]
    record = search.log.trials["0000"]
    assert (record.state, record.epochs) == (TrialState.RUNNING, 1)
