"""What a confirmation found is kept, and so is each look at the test set."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tunebox.decisions.confirm import Candidate
from tunebox.decisions.confirmed import Confirmed, ConfirmedTrial, Estimate
from tunebox.errors import RecordsError
from tunebox.records.confirm_plan import ConfirmPlan, read_plan, write_plan
from tunebox.records.confirmed_table import read_confirmed, write_confirmed
from tunebox.records.search_folder import SearchFolder
from tunebox.records.test_looks import add_look, describe_looks, read_looks
from tunebox.spec.space import Values

NAMES = ("clean_accuracy", "parameters")
FIRST = ConfirmedTrial(
    "0003",
    4,
    1,
    {"clean_accuracy": 0.9, "parameters": 100.0},
    {"clean_accuracy": Estimate(0.88, 0.01), "parameters": Estimate(100.0, 0.0)},
    {"clean_accuracy": Estimate(0.87, 0.02)},
    {"clean_accuracy": 0.885, "parameters": 100.0},
    0.75,
    True,
    True,
    ("0007",),
)
SECOND = ConfirmedTrial(
    "0007",
    1,
    0,
    {},
    {"clean_accuracy": Estimate(0.8, 0.5), "parameters": Estimate(50.0, 0.1)},
    {},
    {"clean_accuracy": 0.8, "parameters": 50.0},
    0.1,
)
RESULT = Confirmed(
    [FIRST, SECOND],
    Estimate(0.41, 0.02),
    {"clean_accuracy": Estimate(0.02, 0.01)},
    {"clean_accuracy": Estimate(0.03, 0.01)},
    NAMES,
)


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    return SearchFolder(tmp_path)


def test_all_of_it_comes_back(folder: SearchFolder) -> None:
    assert read_confirmed(folder) is None
    write_confirmed(folder, RESULT)
    read = read_confirmed(folder)
    assert read == RESULT
    assert read is not None
    assert [trial.trial_id for trial in read.front] == ["0003"]
    assert read.trial("0007") == SECOND
    assert read.trial("0001") is None


def test_an_unknown_width_comes_back_as_such(folder: SearchFolder) -> None:
    means = {name: Estimate(0.5, math.nan) for name in NAMES}
    trial = ConfirmedTrial("0001", 1, 0, {}, means, {}, dict.fromkeys(NAMES, 0.5), 1.0)
    write_confirmed(folder, Confirmed([trial], Estimate(0.1, math.nan), {}, {}, NAMES))
    read = read_confirmed(folder)
    assert read is not None
    assert math.isnan(read.trials[0].means["clean_accuracy"].half_width)
    assert math.isnan(read.hypervolume.half_width)


def test_a_damaged_table_is_one_line(folder: SearchFolder) -> None:
    folder.confirmed.write_bytes(b"PAR1 no more")
    with pytest.raises(RecordsError, match=r"cannot be read .* tunebox confirm .* writes it anew"):
        read_confirmed(folder)


def test_a_plan_comes_back_and_knows_what_a_retraining_repeats(folder: SearchFolder) -> None:
    assert read_plan(folder) is None
    settings: Values = {"optimizer/lr": 0.1, "losses": "ours", "training/seed": None}
    one = Candidate("0003", settings, "training/seed", {"clean_accuracy": 0.9}, True)
    other = Candidate("0004", {**settings, "optimizer/lr": 0.2}, "training/seed", {}, False)
    write_plan(folder, ConfirmPlan("s", [one, other], {"seeds": 3}))
    plan = read_plan(folder)
    assert plan == ConfirmPlan("s", [one, other], {"seeds": 3})
    assert plan is not None
    assert plan.repeated(other.with_seed(5)) == "s/0004"
    assert plan.repeated({"optimizer/lr": 0.3, "training/seed": 5}) is None
    folder.confirm.write_text('{"format": 1}', encoding="utf-8")
    with pytest.raises(RecordsError, match="cannot be read"):
        read_plan(folder)
    folder.confirm.write_text('{"format": 9}', encoding="utf-8")
    with pytest.raises(RecordsError, match="update tunebox"):
        read_plan(folder)


def test_each_look_at_the_test_part_is_counted(folder: SearchFolder) -> None:
    assert describe_looks("s", read_looks(folder)) is None
    add_look(folder, "confirm")
    line = describe_looks("s", read_looks(folder))
    assert line is not None
    assert line.startswith("the test set of s has been seen once before (last 20")
    add_look(folder, "evaluate")
    with folder.test_looks.open("a", encoding="utf-8") as file:
        file.write("half a li")
    assert [look.by for look in read_looks(folder)] == ["confirm", "evaluate", "unknown"]
    assert "3 times" in str(describe_looks("s", read_looks(folder)))


def test_without_the_count_there_is_no_look(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match="counts the looks at the test set"):
        add_look(SearchFolder(tmp_path / "absent"), "confirm")
