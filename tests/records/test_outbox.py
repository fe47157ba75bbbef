import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from tests.records.make_log import make_report
from tunebox.errors import RecordsError
from tunebox.records.mlflow_operations import (
    Discard,
    EndSearch,
    EndTrial,
    LogArtifacts,
    LogMetrics,
    LogTable,
    Operation,
    Reopen,
    SetTags,
    StartSearch,
    StartTrial,
)
from tunebox.records.outbox import Outbox, noted_tracking_uri

OpenBox = Callable[..., Outbox]


@pytest.fixture
def open_box() -> Iterator[OpenBox]:
    """Open outboxes, and close at the end those that are open."""
    with ExitStack() as stack:

        def make(*arguments: Any) -> Outbox:
            box = Outbox(*arguments)
            stack.callback(box.close)
            return box

        yield make


def operations(folder: Path) -> list[Operation]:
    """One of each kind, with values that JSON is asked to keep."""
    return [
        StartSearch("s", {"seed": 1, "gone": None}, {"a": "b"}, (folder / "search.yaml",), 0.1),
        StartTrial("b", {"x": 1e-300, "clamp": True}, {}, 1.0),
        StartTrial("a", {"kind": "ä\n"}, {}, 2.0),
        LogMetrics("b", {"loss": 0.1 + 0.2, "huge": float("inf")}, 1, 3.0),
        LogMetrics(None, {"hypervolume": 0.5}, 7, 4.0),
        EndTrial("b", "FINISHED", {"tunebox.state": "stopped"}, 7.0),
        SetTags("b", {"tunebox.pareto": "true", "other": None}),
        Reopen("b", {"tunebox.state": "running"}),
        Discard("a"),
        LogArtifacts((folder / "front.png", Path("/elsewhere/x"))),
        LogTable("t.json", {"trial_id": ("b",), "x": (1.5,)}),
        EndSearch("KILLED", 9.0),
    ]


def test_what_is_added_is_there_after_a_crash(open_box: OpenBox, tmp_path: Path) -> None:
    path = tmp_path / "box.jsonl"
    box = open_box(path, "http://host")
    added = operations(tmp_path)
    for operation in added:
        box.add(operation)
    box.creating(None)
    box.created(None, "run-0")
    box.creating("b")
    box.done([1, 3])
    box.refuse([7], "b: not this one")
    expected = [(n, op) for n, op in enumerate(added, 1) if n not in (1, 3, 7)]
    assert box.waiting == expected
    assert [box.is_in_doubt(of) for of in (None, "a", "b")] == [False, False, True]
    box.close()  # lets go of the file and writes nothing

    again = open_box(path, "http://other")
    assert again.waiting == expected
    assert again.num_waiting == len(expected)
    assert again.run_ids == {None: "run-0"}
    assert again.refusals == ["b: not this one"]
    assert (again.search_id, again.tracking_uri) == (box.search_id, "http://host")
    assert again.is_in_doubt("a")  # a full disk may have kept its run from being noted
    assert again.told == box.told
    assert again.warnings == []
    again.add(EndSearch("FINISHED", 10.0))
    assert again.waiting[-1][0] == len(added) + 1  # no number is given twice


def test_a_call_that_has_not_ended_may_still_make_its_run(
    open_box: OpenBox, tmp_path: Path
) -> None:
    path = tmp_path / "box.jsonl"
    box = open_box(path)
    for trial_id in ("a", "b", "c"):
        box.creating(trial_id)
    box.created("b", "run-b")
    box.call_ended("c")
    coming = {trial_id: box.may_be_coming(trial_id, 60) for trial_id in ("a", "b", "c", None)}
    assert coming == {"a": True, "b": False, "c": False, None: False}
    assert box.is_in_doubt("c")
    box.close()
    time.sleep(0.01)
    again = open_box(path)
    assert again.may_be_coming("a", 60)
    assert not again.may_be_coming("a", 0.001)


def test_the_disk_is_waited_for_batch_by_batch(
    open_box: OpenBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = open_box(tmp_path / "box.jsonl")
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    for number in range(20):
        box.add(LogMetrics("b", {"loss": 0.5}, number, 3.0))
    assert synced == []
    for _ in range(3):
        box.sync()
    assert len(synced) == 1
    box.done([1])
    box.close()
    assert len(synced) == 2


class SmallDisk:
    """A file that takes some bytes more, and says so by its count, as an unbuffered one does."""

    def __init__(self, file: BinaryIO, room: int) -> None:
        self._file, self._room = file, room
        self.name, self.close, self.fileno = file.name, file.close, file.fileno

    def write(self, content: bytes) -> int:
        count = self._file.write(content[: self._room])
        self._room -= count
        return count


def test_half_a_line_on_a_full_disk_spoils_no_other(open_box: OpenBox, tmp_path: Path) -> None:
    box = open_box(tmp_path / "box.jsonl")
    assert box._file is not None
    whole = box._file
    box._file = cast(BinaryIO, SmallDisk(whole, 50))
    box.add(LogMetrics("b", {"loss": 0.5}, 1, 3.0))
    [warning] = box.warnings
    assert warning.endswith("box.jsonl: not written: No space left on device")
    box._file = whole  # there is room again
    box.add(LogMetrics("b", {"loss": 0.25}, 2, 4.0))
    box.close()
    again = open_box(tmp_path / "box.jsonl")
    assert again.waiting == [(2, LogMetrics("b", {"loss": 0.25}, 2, 4.0))]


def test_what_was_told_is_known(open_box: OpenBox, tmp_path: Path) -> None:
    box = open_box(tmp_path / "box.jsonl")
    for operation in operations(tmp_path):
        box.add(operation)
    told = box.told
    assert told.started
    assert set(told.trials) == {"b"}  # a was discarded
    assert (told.trials["b"].steps, told.trials["b"].state) == ({1}, "running")
    assert told.front == {"b": None}
    assert (told.search_step, told.search_metrics) == (7, {"hypervolume": 0.5})


def test_a_folder_that_moved_takes_its_files_along(open_box: OpenBox, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    box = open_box(old / "box.jsonl")
    box.add(LogArtifacts((old / "front.png",)))
    box.close()
    old.rename(new)
    assert open_box(new / "box.jsonl").waiting == [(1, LogArtifacts((new / "front.png",)))]


@pytest.mark.parametrize("cut", [1, 30, 80])
def test_a_last_line_that_was_cut_short_is_left_out(
    open_box: OpenBox, tmp_path: Path, cut: int
) -> None:
    path = tmp_path / "box.jsonl"
    box = open_box(path)
    box.add(StartTrial("a", {"x": 1}, {}, 1.0))
    box.add(StartTrial("b", {"x": 2, "long": "text" * 10}, {}, 1.0))
    box.close()
    path.write_bytes(path.read_bytes()[: -1 - cut])
    damaged = open_box(path)
    assert [n for n, _ in damaged.waiting] == [1]
    assert len(damaged.warnings) == 1
    assert str(path) in damaged.warnings[0]
    assert damaged.is_in_doubt("b")  # its run may have been noted in what is lost
    damaged.add(EndSearch("FINISHED", 2.0))
    damaged.close()
    repaired = open_box(path)
    assert [op for _, op in repaired.waiting] == [
        StartTrial("a", {"x": 1}, {}, 1.0),
        EndSearch("FINISHED", 2.0),
    ]
    assert repaired.search_id == box.search_id
    assert repaired.warnings == []
    assert repaired.is_in_doubt("b")


@pytest.mark.parametrize("content", [b"", b"\0" * 40, b"[1]\n7\n", b'{"operation": "Nothing"}\n'])
def test_a_file_that_makes_no_sense_is_started_anew(
    open_box: OpenBox, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "box.jsonl"
    path.write_bytes(content)
    box = open_box(path, "http://host", "the-search")
    box.add(EndSearch("FINISHED", 2.0))
    box.close()
    again = open_box(path)
    assert again.search_id == "the-search"
    assert again.num_waiting == 1
    assert noted_tracking_uri(path) == "http://host"
    assert again.is_in_doubt(None)


def test_a_file_of_a_later_version_is_not_touched(open_box: OpenBox, tmp_path: Path) -> None:
    path = tmp_path / "box.jsonl"
    path.write_text(json.dumps({"format": 2, "version": "9.9"}) + "\n", encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(RecordsError, match="has format 2, made by a newer tunebox"):
        open_box(path)
    assert path.read_bytes() == before


def test_only_one_process_has_it(open_box: OpenBox, tmp_path: Path) -> None:
    path = tmp_path / "box.jsonl"
    box = open_box(path)
    program = "import sys; from tunebox.records.outbox import *; Outbox(Path(sys.argv[1]))"
    command = [sys.executable, "-c", program, str(path)]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "another tunebox writes its MLflow runs" in second.stderr
    box.close()
    assert subprocess.run(command, check=False).returncode == 0


def test_a_full_disk_is_a_warning_and_all_stays_in_memory(
    open_box: OpenBox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "box.jsonl"
    box = open_box(path)

    class FullDisk:
        name = str(path)

        def write(self, _: bytes) -> int:
            raise OSError(28, "No space left on device")

    file, box._file = box._file, FullDisk()  # type: ignore[assignment]
    box.add(StartTrial("a", {}, {}, 1.0))
    box.add(LogMetrics("a", make_report(1, 0.5, 0.5).metrics, 1, 2.0))
    assert box.num_waiting == 2
    assert box.warnings == [f"{path}: not written: No space left on device"]
    assert len(caplog.records) == 1
    box._file = file  # the fault is over
    box.add(EndSearch("FINISHED", 2.0))  # there is room again
    box.close()
    assert [op for _, op in open_box(path).waiting] == [EndSearch("FINISHED", 2.0)]


def test_in_memory_there_is_no_file(
    open_box: OpenBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    box = open_box(None)
    box.add(EndSearch("FINISHED", 2.0))
    box.done([1])
    assert box.num_waiting == 0
    assert list(tmp_path.iterdir()) == []


def test_where_an_outbox_goes_can_be_read_while_it_is_open(
    open_box: OpenBox, tmp_path: Path
) -> None:
    path = tmp_path / "box.jsonl"
    assert noted_tracking_uri(path) is None
    box = open_box(path, "http://host")
    assert noted_tracking_uri(path) == "http://host"
    box.close()
