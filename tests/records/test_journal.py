from __future__ import annotations

import errno
import json
import math
import os
import random
import re
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from tests.records.make_log import make_log
from tunebox.errors import RecordsError
from tunebox.events import Ended, Planned, Reported, Started, TrialEvent
from tunebox.records.journal import JournalWriter, cut_journal, read_journal
from tunebox.trials import Report, TrialLog, TrialRecord, TrialState


def write(path: Path, log: TrialLog, seed: int = 0) -> list[TrialEvent]:
    """Write the journal of a search with several trials at once, and return what was told."""
    writer, generator = JournalWriter(path, "made"), random.Random(seed)
    writer.search_started(log)
    told: list[TrialEvent] = []
    steps = {trial_id: _told(writer, trial, told) for trial_id, trial in log.trials.items()}
    while steps:
        trial_id = generator.choice(list(steps))
        if next(steps[trial_id], None) is None:
            del steps[trial_id]
        writer.tick()
    writer.search_ended(interrupted=False)
    return told


def _told(writer: JournalWriter, trial: TrialRecord, told: list[TrialEvent]):  # type: ignore[no-untyped-def]
    writer.trial_planned(trial.trial_id, trial.settings)
    told.append(Planned(trial.trial_id, trial.settings))
    yield True
    writer.trial_started(trial)
    told.append(Started(trial.trial_id, trial.start_time))
    yield True
    for report in trial.history:
        writer.trial_reported(trial, report)
        told.append(Reported(trial.trial_id, report, trial.node))
        yield True
    if trial.end_time is not None:
        writer.trial_ended(trial)
        told.append(Ended(trial.trial_id, trial.state, trial.reason, trial.end_time))
        yield True


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_what_was_told_is_read_in_order(path: Path) -> None:
    told = write(path, make_log(12))
    journal = read_journal(path)
    assert journal.events == told
    assert journal.warning is None
    assert journal.size == path.stat().st_size


def test_settings_keep_their_types_and_floats_every_bit(path: Path) -> None:
    settings = {"a": True, "b": None, "c": 3, "d": 0.1 + 0.2, "e": "1e3", "f": 1.0}
    writer = JournalWriter(path, "made")
    writer.search_started(make_log(0))
    writer.trial_planned("0000", settings)
    [event] = read_journal(path).events
    assert isinstance(event, Planned)
    assert event.settings == settings
    assert list(map(type, event.settings.values())) == list(map(type, settings.values()))


def test_every_line_is_strict_json_whatever_a_metric_is(path: Path) -> None:
    metrics = {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1e308}
    writer = JournalWriter(path, "made")
    writer.search_started(make_log(0))
    trial = TrialRecord("0000", {}, 1.0)
    writer.trial_reported(trial, Report(1, metrics, 2.0))

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    for line in path.read_text(encoding="utf-8").splitlines():
        json.loads(line, parse_constant=refuse)
    [event] = read_journal(path).events
    assert isinstance(event, Reported)
    read = event.report.metrics
    assert math.isnan(read.pop("a"))
    assert read == {"b": math.inf, "c": -math.inf, "d": 1e308}


def test_a_line_is_there_when_the_call_returns(path: Path) -> None:
    writer = JournalWriter(path, "made")
    writer.search_started(make_log(0))
    for number in range(5):
        writer.trial_planned(f"{number:04d}", {})
        assert len(read_journal(path).events) == number + 1


def test_a_second_process_adds_to_it(path: Path) -> None:
    log = make_log(6)
    told = write(path, log)
    told += write(path, log)
    assert read_journal(path).events == told
    assert path.read_text(encoding="utf-8").count('"format"') == 1


NO_EVENTS = [
    {"event": "planned", "trial": "../../etc", "settings": {}},
    {"event": "planned", "trial": "0000"},
    {"event": "planned", "trial": "0000", "settings": {"a": [1]}},
    {"event": "planned", "trial": 7, "settings": {}},
    {"event": "ended", "trial": "0000", "state": "asleep", "reason": None, "time": 1.0},
    {"event": "ended", "trial": "0000", "state": "failed", "reason": [], "time": 1.0},
    {"event": "reported", "trial": "0000", "epoch": 1, "metrics": 3, "time": 1, "node": None},
    {"event": "reported", "trial": "0", "epoch": 1e999, "metrics": {}, "time": 1, "node": None},
    {"event": "danced", "trial": "0000"},
    {"trial": "0000"},
]


@pytest.mark.parametrize(
    "tail",
    [
        b'{"event": "repor',
        b"\x00" * 40,
        b"\xff\xfe{\n",
        b"{}",
        b"{}\n",
        b"[" * 100_000 + b"\n",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"\n",
        *[json.dumps(event).encode() + b"\n" for event in NO_EVENTS],
    ],
)
def test_a_damaged_end_is_cut_off_with_a_line(path: Path, tail: bytes) -> None:
    told = write(path, make_log(6))
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    journal = read_journal(path)
    assert journal.events == told
    assert journal.warning == (f"{path}: the last {len(tail)} bytes are damaged and were cut off")
    cut_journal(path, journal)
    assert path.read_bytes() == whole
    assert read_journal(path).warning is None


def test_wherever_it_is_cut_it_is_read_up_to_there(path: Path) -> None:
    told = write(path, make_log(4))
    whole = path.read_bytes()
    generator = random.Random(3)
    for size in [0, 1, len(whole) - 1, *generator.sample(range(len(whole)), 60)]:
        path.write_bytes(whole[:size])
        events = read_journal(path).events
        assert events == told[: len(events)]
        lines = whole[:size].count(b"\n")
        assert len(events) in (lines - 2, lines - 3, 0)  # header, start and end are no events


@pytest.mark.parametrize(
    ("number", "damage"),
    [(1, b'{"format": \n'), (2, b'{"event": "rep\n'), (10, b"\x00\n"), (10, b'{"trial": "0"}\n')],
)
def test_damage_in_the_middle_names_the_line_and_a_command_that_helps(
    path: Path, number: int, damage: bytes
) -> None:
    told = write(path, make_log(6))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number - 1] = damage
    path.write_bytes(b"".join(lines))
    with pytest.raises(RecordsError, match=rf"line {number} is damaged \(.*\); ") as caught:
        read_journal(path)
    [command] = re.findall(r"with: (sed -i '.*?' \S+)", str(caught.value))
    subprocess.run(shlex.split(command), check=True)
    repaired = read_journal(path)
    assert repaired.events == (told if number == 1 else told[: max(0, number - 3)])
    assert repaired.warning is None


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ({"format": 2, "tunebox": "9.0"}, "has format 2, made by a newer tunebox; update tunebox"),
        ({"format": "x"}, "has format 'x', made by a newer tunebox; update tunebox"),
        ({"event": "planned"}, "line 1 is not the header"),
    ],
)
def test_a_header_of_another_kind_is_one_line(
    path: Path, first: dict[str, object], message: str
) -> None:
    path.write_text(json.dumps(first) + "\n", encoding="utf-8")
    with pytest.raises(RecordsError, match=message):
        read_journal(path)


def test_without_a_journal_there_is_one_line(path: Path) -> None:
    with pytest.raises(RecordsError, match=r"No such file.*cannot go on"):
        read_journal(path)


def test_a_full_disk_leaves_whole_lines_and_is_told_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter(path, "made")
    writer.search_started(make_log(0))
    writer.trial_planned("0000", {})
    whole, original = path.read_bytes(), os.write

    def short(file: int, line: bytes) -> int:
        return original(file, line[: len(line) // 2])

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(OSError, match="No space left") as caught:
        writer.trial_planned("0001", {})
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    monkeypatch.undo()
    writer.trial_planned("0002", {})  # a line after one that is missing would mislead
    writer.search_ended(interrupted=False)
    assert path.read_bytes() == whole


def test_a_folder_that_vanished_is_told(path: Path) -> None:
    writer = JournalWriter(path, "made")
    writer.search_started(make_log(0))
    trial = TrialRecord("0000", {}, 1.0, TrialState.STOPPED, end_time=2.0)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        writer.trial_ended(trial)


def test_the_disk_is_waited_for_at_the_end_of_a_trial_and_once_a_second(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    now = 100.0
    monkeypatch.setattr(os, "fsync", synced.append)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    writer = JournalWriter(path, "made")
    writer.search_started(make_log(0))
    at_start = len(synced)
    trial = TrialRecord("0000", {}, 1.0, TrialState.STOPPED, end_time=2.0)
    for _ in range(50):
        writer.trial_reported(trial, Report(1, {}, 0.0))
        writer.tick()
    assert len(synced) == at_start
    now += 1.5
    for _ in range(3):
        writer.tick()
    assert len(synced) == at_start + 1
    writer.trial_ended(trial)
    assert len(synced) == at_start + 2
