from __future__ import annotations

import binascii
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
from tunebox.decisions.events import (
    Ended,
    Event,
    Paused,
    Planned,
    Promoted,
    Reported,
    SearchEnded,
    SearchStarted,
    Started,
)
from tunebox.decisions.trials import Report, TrialLog, TrialRecord, TrialState
from tunebox.errors import RecordsError
from tunebox.records.checksum import with_crc
from tunebox.records.journal import JournalWriter, cut_journal, read_journal

START = SearchStarted(1.0, "host", 7)
END = SearchEnded(9.0, interrupted=False)
STOPPED = Ended("0000", TrialState.STOPPED, None, 2.0)


def begun(path: Path) -> JournalWriter:
    writer = JournalWriter(path, "made")
    writer.on(START)
    return writer


def write(path: Path, log: TrialLog, seed: int = 0) -> list[Event]:
    """Write the journal of a search with several trials at once, and return its events."""
    writer, generator = JournalWriter(path, "made"), random.Random(seed)
    events: list[Event] = [START]
    left = {trial_id: events_of(trial) for trial_id, trial in log.trials.items()}
    while left:
        trial_id = generator.choice(list(left))
        events.append(left[trial_id].pop(0))
        if not left[trial_id]:
            del left[trial_id]
    events.append(END)
    for event in events:
        writer.on(event)
        writer.tick()
    return events


def events_of(trial: TrialRecord) -> list[Event]:
    """What happened to a trial, with a pause after every second report."""
    trial_id = trial.trial_id
    events: list[Event] = [Planned(trial_id, trial.settings), Started(trial_id, trial.start_time)]
    for report in trial.history:
        events.append(Reported(trial_id, report, trial.node))
        if report.epoch % 2 == 0:
            events += [Paused(trial_id, report.time), Promoted(trial_id)]
            events.append(Started(trial_id, report.time + 0.1))
    if trial.end_time is not None:
        events.append(Ended(trial_id, trial.state, trial.reason, trial.end_time))
    return events


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_events_are_read_as_they_were_written(path: Path) -> None:
    events = write(path, make_log(12))
    journal = read_journal(path)
    assert journal.events == events
    assert journal.warning is None
    assert journal.size == path.stat().st_size


def test_what_a_trial_took_is_kept_where_it_was_measured(path: Path) -> None:
    writer = begun(path)
    for memory in (None, 3 << 30):
        writer.on(Reported("0000", Report(1, {"a": 0.5}, 2.0), None, memory))
    _, without, last = read_journal(path).events
    assert isinstance(without, Reported)
    assert isinstance(last, Reported)
    assert (without.memory, last.memory) == (None, 3 << 30)
    assert b"memory" not in path.read_bytes().splitlines()[1]


def test_what_a_trial_was_expected_to_gain_is_kept(path: Path) -> None:
    planned = [Planned("0000", {"a": 1}, 7), Planned("0001", {"a": 2}, 8, 0.1 + 0.2)]
    writer = begun(path)
    for event in planned:
        writer.on(event)
    assert read_journal(path).events[1:] == planned
    assert b"expected_gain" not in path.read_bytes().splitlines()[2]


def test_settings_keep_their_types_and_floats_every_bit(path: Path) -> None:
    settings = {"a": True, "b": None, "c": 3, "d": 0.1 + 0.2, "e": "1e3", "f": 1.0}
    writer = begun(path)
    writer.on(Planned("0000", settings))
    _, event = read_journal(path).events
    assert isinstance(event, Planned)
    assert event.settings == settings
    assert list(map(type, event.settings.values())) == list(map(type, settings.values()))


def test_every_line_is_strict_json_whatever_a_metric_is(path: Path) -> None:
    metrics = {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1e308}
    writer = begun(path)
    writer.on(Reported("0000", Report(1, metrics, 2.0), None))

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    for line in path.read_text(encoding="utf-8").splitlines():
        json.loads(line, parse_constant=refuse)
    _, event = read_journal(path).events
    assert isinstance(event, Reported)
    read = event.report.metrics
    assert math.isnan(read.pop("a"))
    assert read == {"b": math.inf, "c": -math.inf, "d": 1e308}


def test_a_line_is_there_when_the_call_returns(path: Path) -> None:
    writer = begun(path)
    for number in range(5):
        writer.on(Planned(f"{number:04d}", {}))
        assert len(read_journal(path).events) == number + 2


def test_a_second_process_adds_to_it(path: Path) -> None:
    log = make_log(6)
    events = write(path, log)
    events += write(path, log)
    assert read_journal(path).events == events
    assert path.read_text(encoding="utf-8").count('"format"') == 1


def test_a_checksum_is_that_of_the_line_without_it(path: Path) -> None:
    write(path, make_log(3))
    for line in path.read_bytes().splitlines():
        found = re.fullmatch(rb'(.*), "crc": "([0-9a-f]{8})"}', line)
        assert found is not None
        assert int(found[2], 16) == binascii.crc32(found[1] + b"}")


def test_a_journal_without_checksums_is_read_and_goes_on_without(path: Path) -> None:
    log = make_log(4)
    events = write(path, log)
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    for line in lines:
        del line["crc"]
    lines[0]["format"] = 1
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    assert read_journal(path).events == events
    events += write(path, log)
    assert read_journal(path).events == events
    assert b'"crc"' not in path.read_bytes()


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
    {"event": "paused", "trial": "0000"},
    {"event": "promoted", "trial": ".."},
    {"event": "search_started", "time": 1.0, "host": "host"},
    {"event": "search_ended", "time": 1.0, "interrupted": False, "trouble": 3},
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
        *[with_crc(json.dumps(event).encode()) + b"\n" for event in NO_EVENTS],
        b'{"event": "promoted", "trial": "t000"}\n',  # without a checksum
    ],
)
def test_a_damaged_end_is_cut_off_with_a_line(path: Path, tail: bytes) -> None:
    events = write(path, make_log(6))
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    journal = read_journal(path)
    assert journal.events == events
    assert journal.warning == (f"{path}: the last {len(tail)} bytes are damaged and were cut off")
    cut_journal(path, journal)
    assert path.read_bytes() == whole
    assert read_journal(path).warning is None


def test_wherever_it_is_cut_it_is_read_up_to_there(path: Path) -> None:
    events = write(path, make_log(4))
    whole = path.read_bytes()
    generator = random.Random(3)
    for size in [1, len(whole) - 1, *generator.sample(range(len(whole)), 60)]:
        path.write_bytes(whole[:size])
        found = read_journal(path).events
        lines = whole[:size].count(b"\n")
        assert found == events[: max(0, lines - 1)]  # the header is no event


def test_an_empty_file_is_no_journal_of_a_search_without_trials(path: Path) -> None:
    write(path, make_log(4))
    path.write_bytes(b"")
    with pytest.raises(RecordsError, match=f"{path} is empty: put it back as it was"):
        read_journal(path)


@pytest.mark.parametrize(
    ("number", "damage"),
    [(1, b'{"format": \n'), (2, b'{"event": "rep\n'), (10, b"\x00\n"), (10, b'{"trial": "0"}\n')],
)
def test_damage_in_the_middle_names_the_line_and_a_command_that_helps(
    path: Path, number: int, damage: bytes
) -> None:
    events = write(path, make_log(6))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number - 1] = damage
    path.write_bytes(b"".join(lines))
    with pytest.raises(RecordsError, match=rf"line {number} is damaged \(.*\); ") as caught:
        read_journal(path)
    [command] = re.findall(r"with: (sed -i '.*?' \S+)", str(caught.value))
    subprocess.run(shlex.split(command), check=True)
    repaired = read_journal(path)
    assert repaired.events == (events if number == 1 else events[: max(0, number - 2)])
    assert repaired.warning is None


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ({"format": 3, "tunebox": "9.0"}, "has format 3, made by a newer tunebox; update tunebox"),
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
    with pytest.raises(RecordsError, match=r"No such file.*without its journal"):
        read_journal(path)


def test_a_full_disk_leaves_whole_lines_and_one_error(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = begun(path)
    writer.on(Planned("0000", {}))
    whole, original = path.read_bytes(), os.write

    def short(file: int, line: bytes) -> int:
        return original(file, line[: len(line) // 2])

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(OSError, match="No space left") as caught:
        writer.on(Planned("0001", {}))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    monkeypatch.undo()
    writer.on(Planned("0002", {}))  # a line after one that is missing would mislead
    writer.on(END)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("event", [STOPPED, Planned("0001", {})])
def test_a_line_that_cannot_be_acknowledged_is_not_written(path: Path, event: Event) -> None:
    writer = begun(path)
    aside = path.with_name("aside.jsonl")
    path.rename(aside)
    whole = aside.read_bytes()
    with pytest.raises(FileNotFoundError):
        writer.on(event)
    assert aside.read_bytes() == whole


def test_the_disk_is_waited_for_at_the_end_of_a_trial_and_once_a_second(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    now = 100.0
    monkeypatch.setattr(os, "fsync", synced.append)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    writer = begun(path)
    at_start = len(synced)
    for _ in range(50):
        writer.on(Reported("0000", Report(1, {}, 0.0), None))
        writer.tick()
    assert len(synced) == at_start
    now += 1.5
    for _ in range(3):
        writer.tick()
    assert len(synced) == at_start + 1
    writer.on(STOPPED)
    assert len(synced) == at_start + 2
