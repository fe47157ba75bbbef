import itertools
import math
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.records.make_log import OBJECTIVES, make_log, make_report, make_spec, make_trial
from tunebox.decisions.trials import TrialLog, TrialRecord, TrialState
from tunebox.errors import RecordsError
from tunebox.pareto.constraints import Constraint, Constraints
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.records.table_file import write_table
from tunebox.records.trial_tables import check_against_tables, read_front, read_log, write_tables
from tunebox.spec.space import Choice, Leaf, Values

LEAVES = make_spec().space.leaves


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    return create_folder(tmp_path, "made-1")


@pytest.mark.parametrize("seed", [0, 1])
def test_a_log_comes_back_as_it_was_written(folder: SearchFolder, seed: int) -> None:
    log = make_log(30, seed)
    log.trials["t001"].reason = "ValueError: loss is nan"
    log.trials["t001"].history[-1].metrics["train_loss"] = math.inf
    log.trials["t002"].history[0].metrics["train_stability"] = 0.25  # only this trial has it
    log.trials["t003"].history.clear()
    log.trials["t004"].expected_gain = 0.25  # the model said it of this one
    write_tables(folder, log, LEAVES)
    back = read_log(folder)
    assert back.trials == log.trials
    assert list(back.trials) == list(log.trials)
    assert list(back.objectives) == list(log.objectives)
    assert back.hypervolume() == log.hypervolume()


def test_of_equal_trials_the_front_has_the_first_and_names_the_others(
    folder: SearchFolder,
) -> None:
    log = TrialLog(OBJECTIVES)
    pairs = {"a": (0.5, 0.5), "b": (0.5, 0.75), "c": (0.75, 0.5), "d": (0.5, 0.75)}
    log.trials = {name: make_trial(name, *values) for name, values in pairs.items()}
    write_tables(folder, log, LEAVES)
    front = read_front(folder)
    assert front["trial_id"].to_pylist() == ["c", "b"]
    assert front["equal_trials"].to_pylist() == [[], ["d"]]


def test_kinds_of_settings_survive(folder: SearchFolder) -> None:
    log = make_log(40)
    write_tables(folder, log, LEAVES)
    back = read_log(folder)
    for trial in log.trials.values():
        kinds = {path: type(value) for path, value in trial.settings.items()}
        read = back.trials[trial.trial_id].settings
        assert {path: type(value) for path, value in read.items()} == kinds


def test_a_null_that_was_chosen_is_not_an_inactive_leaf(folder: SearchFolder) -> None:
    leaves = [
        Leaf("training/seed", Choice((None, 7)), ()),
        Leaf("mixed", Choice((1, "a", True)), ()),
    ]
    log = TrialLog(OBJECTIVES)
    settings: dict[str, Values] = {
        "b": {"training/seed": None, "mixed": "a"},
        "a": {"mixed": 1},
        "c": {"training/seed": 7, "mixed": True},
    }
    for trial_id, values in settings.items():
        log.trials[trial_id] = TrialRecord(trial_id, values, 0.0)
    write_tables(folder, log, leaves)
    back = {trial_id: trial.settings for trial_id, trial in read_log(folder).trials.items()}
    assert back == settings
    assert back["c"]["mixed"] is True


def test_columns_are_typed_by_the_distributions(folder: SearchFolder) -> None:
    write_tables(folder, make_log(), LEAVES)
    schema = pq.read_schema(folder.trials)
    types = {leaf.path: schema.field(leaf.path).type for leaf in LEAVES}
    assert types["model/width"] == types["model/depth"] == pa.int64()
    assert types["losses"] == pa.string()
    assert types["losses/noisy/noise/std"] == pa.float64()
    assert types["losses/noisy/noise/clamp"] == pa.bool_()
    assert types["optimizer/momentum"] == pa.float64()
    assert schema.field("start_time").type == pa.timestamp("us", tz="UTC")
    assert pq.read_schema(folder.history).names[:3] == ["trial_id", "epoch", "time"]


def test_a_journal_that_lacks_results_of_the_tables_is_refused(folder: SearchFolder) -> None:
    log = make_log(20)
    write_tables(folder, log, LEAVES)
    check_against_tables(folder, log)
    check_against_tables(folder, make_log(25))  # later than the tables
    ended = [one for one in log.trials.values() if one.state is TrialState.FINISHED]
    del ended[0].history[-1]
    del log.trials[ended[1].trial_id]
    running = next(one for one in log.trials.values() if one.state is TrialState.RUNNING)
    del log.trials[running.trial_id]  # a power cut takes what was not on the disk
    with pytest.raises(RecordsError, match="lacks the results of 2 trials") as caught:
        check_against_tables(folder, log)
    assert f"such as {ended[0].trial_id}: " in str(caught.value)
    folder.trials.unlink()
    check_against_tables(folder, log)


def test_best_is_in_the_direction_of_each_metric(folder: SearchFolder) -> None:
    log = TrialLog(OBJECTIVES)
    trial = make_trial("a", 0.5, 0.5)
    trial.history = [
        make_report(1, 0.7, 0.2, loss=math.nan),
        make_report(2, 0.9, 0.1, loss=0.4),
        make_report(3, 0.8, 0.3, loss=0.6),
    ]
    log.trials["a"] = trial
    write_tables(folder, log, LEAVES)
    [row] = pq.read_table(folder.trials).to_pylist()
    assert (row["best/clean_accuracy"], row["last/clean_accuracy"]) == (0.9, 0.8)
    assert row["best/noisy_accuracy"] == 0.3
    assert row["best/train_loss"] == 0.4
    assert "best/train_seconds" not in row
    assert row["last/train_seconds"] == 7.5
    assert row["epochs"] == 3


def test_the_front_table_is_the_front_in_its_order(folder: SearchFolder) -> None:
    log = make_log(60)
    write_tables(folder, log, LEAVES)
    front = read_front(folder)
    ended = [t for t in log.trials.values() if t.state in (TrialState.FINISHED, TrialState.STOPPED)]
    accuracy = np.array(
        [[t.last_metrics["clean_accuracy"], t.last_metrics["noisy_accuracy"]] for t in ended]
    )
    beaten = [
        any((other >= own).all() and (other > own).any() for other in accuracy) for own in accuracy
    ]
    expected = [t for t, out in zip(ended, beaten, strict=True) if not out]
    expected.sort(key=lambda t: -t.last_metrics["clean_accuracy"])
    assert front["trial_id"].to_pylist() == [t.trial_id for t in expected]
    assert front.column_names == [*pq.read_table(folder.trials).column_names, "equal_trials"]


def test_an_empty_log_comes_back_empty(folder: SearchFolder) -> None:
    write_tables(folder, TrialLog(OBJECTIVES), LEAVES)
    assert read_log(folder).trials == {}
    assert read_front(folder).num_rows == 0


def test_only_the_three_tables_are_left_in_the_folder(folder: SearchFolder) -> None:
    for num_trials in (3, 12):
        write_tables(folder, make_log(num_trials), LEAVES)
    assert {path.name for path in folder.root.iterdir()} == {
        *("trials.parquet", "history.parquet", "front.parquet")
    }
    assert len(read_log(folder).trials) == 12


def test_a_write_that_fails_leaves_the_old_table(
    folder: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tables(folder, make_log(3), LEAVES)

    def no_replace(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", no_replace)
    with pytest.raises(OSError, match="no space"):
        write_tables(folder, make_log(12), LEAVES)
    assert len(read_log(folder).trials) == 3
    assert len(list(folder.root.iterdir())) == 3


def test_a_history_ahead_of_the_trials_is_read(folder: SearchFolder) -> None:
    """What a kill between the two writes leaves."""
    write_tables(folder, make_log(5), LEAVES)
    trials = folder.trials.read_bytes()
    write_tables(folder, make_log(9), LEAVES)
    folder.trials.write_bytes(trials)
    assert len(read_log(folder).trials) == 5


@pytest.mark.parametrize("name", ["trials.parquet", "history.parquet", "front.parquet"])
@pytest.mark.parametrize("damage", ["missing", "cut", "text", "foreign", "later", "no checksum"])
def test_a_damaged_table_is_one_clear_line(folder: SearchFolder, name: str, damage: str) -> None:
    write_tables(folder, make_log(), LEAVES)
    path = folder.root / name
    table = pq.read_table(path)
    match damage:
        case "missing":
            path.unlink()
        case "cut":
            path.write_bytes(path.read_bytes()[:-100])
        case "text":
            path.write_text("trial_id,state\n", encoding="utf-8")
        case "foreign":
            write_table(table.replace_schema_metadata(None), path)
        case "later":
            write_table(table.replace_schema_metadata({"tunebox": '{"format": 99}'}), path)
        case "no checksum":
            pq.write_table(table, path)
    with pytest.raises(RecordsError) as caught:
        read_front(folder) if name == "front.parquet" else read_log(folder)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_with_a_column_gone_is_one_clear_line(folder: SearchFolder) -> None:
    write_tables(folder, make_log(), LEAVES)
    for path, column in itertools.product([folder.trials, folder.history], ["trial_id"]):
        table = pq.read_table(path)
        write_table(table.drop_columns([column]), path)
        with pytest.raises(RecordsError, match=path.name):
            read_log(folder)
        write_table(table, path)


def test_constraints_come_back_and_say_what_is_feasible(tmp_path: Path) -> None:
    log = make_log(40, seed=5)
    log.constraints = Constraints([Constraint("clean_accuracy", 0.5, None)])
    folder = create_folder(tmp_path, "bound-1")
    write_tables(folder, log, LEAVES)
    again = read_log(folder)
    assert list(again.constraints) == list(log.constraints)
    assert [trial.trial_id for trial in again.front()] == [t.trial_id for t in log.front()]
    free = make_log(40, seed=5)
    assert {t.trial_id for t in free.front()} != {t.trial_id for t in log.front()}
    for row in pq.read_table(folder.trials).to_pylist():
        assert row["feasible"] == (row["last/clean_accuracy"] >= 0.5)
    assert all(trial.last_metrics["clean_accuracy"] >= 0.5 for trial in log.front())
