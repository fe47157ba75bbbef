"""The rows that are written into the database of MLflow at once."""

import sqlite3
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.records.make_log import START
from tests.tracking.delivering import (
    PARENT,
    Deliver,
    MakeStore,
    assert_delivered,
    child,
    history,
    runs_of,
)
from tunebox.decisions.trials import Report
from tunebox.records.search_folder import create_folder
from tunebox.tracking import client
from tunebox.tracking.cursor import Cursor
from tunebox.tracking.delivery import Delivery
from tunebox.tracking.rows import RowWriter


def tables(uri: str) -> dict[str, list[str]]:
    """Return the tables of a store as they are, with the names of runs in place of their ids."""
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as store:
        names = dict(store.execute("SELECT run_uuid, name FROM runs").fetchall())
        found = {}
        for table in ("runs", "tags", "params", "metrics", "latest_metrics"):
            cursor = store.execute(f"SELECT * FROM {table}")
            place = [column[0] for column in cursor.description].index("run_uuid")
            rows = [(*row[:place], names[row[place]], *row[place + 1 :]) for row in cursor]
            text = repr(sorted(rows, key=repr))
            for run_id, name in names.items():
                text = text.replace(run_id, name)
            found[table] = text.replace(uri.removeprefix("sqlite:///"), "").split("), (")
    return found


def test_rows_are_those_that_calls_leave(
    tmp_path: Path,
    make_store: MakeStore,
    calls: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run comes whole or in parts, with all that a value can be."""
    strange = {"nan": float("nan"), "up": float("inf"), "down": -float("inf"), "a//../b (2)": 1.0}
    points = [Report(1, {"x": 0.5, **strange}, START + 1), Report(2, {"x": 0.25}, START + 2.0006)]
    params = {"long": "x" * 9000, "odd (1)": True, "/k": None, "n": 1e-9, "t": "text"}
    tags = {"tunebox.trial_id": "a", "tunebox.reason": "y" * 20_000, "tunebox.pareto": "true"}
    whole = child("whole", params=params, tags=tags, points=points, num_points=2)
    steps = [
        (replace(whole, name="parts", num_points=1), whole),
        (replace(whole, name="parts", status="KILLED", end_time=START + 1.5),),
        (replace(whole, name="parts", tags={"tunebox.trial_id": "b"}),),
        (
            replace(whole, name="parts", tags=tags, status="FINISHED", end_time=START + 9),
            replace(whole, status="FAILED", end_time=START + 9),
            child("late", 1),
        ),
    ]
    found = []
    for kind in ("rows", "calls"):
        if kind == "calls":
            monkeypatch.setattr(client, "RowWriter", lambda *_: None)
        uri = make_store(tmp_path / kind)
        folder = create_folder(tmp_path / kind, "s-1")
        folder.journal.write_bytes(b"header\nfirst event\n")
        cursor = Cursor(folder, uri)
        cursor.open(has_past=False)
        made = Delivery(cursor, uri, tmp_path)
        for runs in steps:
            made.put(None, PARENT)
            for run in runs:
                made.put(run.name, run)
            made.deliver_now()
            assert (made.num_waiting, made.refusals) == (0, [])
        found.append(tables(uri))
        assert calls["create_run"] == {"rows": 1, "calls": 1 + 4}[kind]
    for table, rows in found[0].items():
        assert rows == found[1][table], table
    assert len(found[0]["metrics"]) == 2 * 6 + 4


@pytest.mark.parametrize("way", ["rows"], indirect=True)
def test_a_transaction_that_fails_is_made_again_run_by_run(
    uri: str, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it came to nothing, or the answer got lost."""
    write, numbers = RowWriter.write, iter(range(1000))

    def fails(self: RowWriter, changes: Any) -> Any:
        if next(numbers) == 0:
            write(self, changes[:7])
        raise ConnectionError("away for a moment")

    monkeypatch.setattr(RowWriter, "write", fails)
    names = [f"t{number:02d}" for number in range(12)]
    made = deliver(uri, *(child(name, 3, status="FINISHED", end_time=START) for name in names))
    assert_delivered(made)
    found = runs_of(uri)
    assert found.keys() == {"s-1", *names}
    for name in names:
        assert [step for step, _ in history(uri, found[name], "train_loss")] == [1, 2, 3]
        assert found[name].info.run_id == made.runs[name].run_id
        assert found[name].info.status == "FINISHED"
