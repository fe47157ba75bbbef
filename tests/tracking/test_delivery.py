"""The thread that brings MLflow's runs to what they should be, on a store that is a file."""

import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tests.command_line import free_port
from tests.records.make_log import START, make_report
from tunebox.decisions.trials import Report
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.spec.space import Scalar
from tunebox.tracking import client, delivery, values
from tunebox.tracking.cursor import Cursor
from tunebox.tracking.delivery import Delivery
from tunebox.tracking.rows import RowWriter
from tunebox.tracking.runs import RunState, SentRun
from tunebox.tracking.stores import public_uri

MakeStore = Callable[[Path], str]
PARENT = RunState("s-1", {"seed": 3}, {"tunebox.search": "s-1"}, START, is_search=True)


def child(name: str, num_points: int = 0, **changes: Any) -> RunState:
    points = [make_report(epoch, 0.1 * epoch, 0.2) for epoch in range(1, num_points + 1)]
    tags = {"tunebox.trial_id": name}
    run = RunState(name, {"x": 1}, tags, START, points=points, num_points=num_points)
    return replace(run, **changes)


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    return create_folder(tmp_path / "out", "s-1")


@pytest.fixture
def uri(folder: SearchFolder, make_store: MakeStore) -> str:
    return make_store(folder.root.parent)


@pytest.fixture(params=["rows", "calls"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How a database gets the runs of trials: as rows, or by the calls that a server gets."""
    if request.param == "calls":
        monkeypatch.setattr(client, "RowWriter", lambda *_: None)
    return str(request.param)


BY_CALLS = pytest.mark.parametrize("way", ["calls"], indirect=True)


@pytest.fixture
def deliver(folder: SearchFolder, way: str) -> Callable[..., Delivery]:
    """Start the delivery of some runs of the search, as another process each time."""

    def make(uri: str, *children: RunState, parent: RunState = PARENT) -> Delivery:
        cursor = Cursor(folder, public_uri(uri))
        cursor.open(has_past=False)
        made = Delivery(cursor, uri, folder.root.parent)
        made.put(None, parent)
        for run in children:
            made.put(run.name, run)
        made.wake()
        return made

    return make


Deliver = Callable[..., Delivery]


def runs_of(uri: str, filter_string: str = "") -> dict[str, Run]:
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("tunebox")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], filter_string)
    found = {run.info.run_name: run for run in runs}
    assert len(found) == len(runs)
    return found


def history(uri: str, run: Run, name: str) -> list[tuple[int, float]]:
    found = MlflowClient(tracking_uri=uri).get_metric_history(run.info.run_id, name)
    return sorted((metric.step, metric.value) for metric in found)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each call of MLflow's client was made."""
    counter: Counter[str] = Counter()

    def counted(name: str) -> None:
        original = getattr(MlflowClient, name)

        def call(self: MlflowClient, *args: Any, **kwargs: Any) -> Any:
            counter[name] += 1
            return original(self, *args, **kwargs)

        monkeypatch.setattr(MlflowClient, name, call)

    for name in ("create_run", "log_batch", "delete_tag", "log_artifact", "get_metric_history"):
        counted(name)
    return counter


def test_a_parent_run_has_a_child_for_each_trial(
    folder: SearchFolder, uri: str, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.root.parent.parent)
    ended = child("a", 2, status="FINISHED", end_time=START + 10)
    assert_delivered(deliver(uri, ended, child("b")))
    by_name = runs_of(uri)
    assert set(by_name) == {"s-1", "a", "b"}
    parent, a, b = by_name["s-1"], by_name["a"], by_name["b"]
    assert parent.data.params == {"seed": "3"}
    for trial in (a, b):
        assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert trial.data.params == {"x": "1"}
    assert (a.info.status, b.info.status) == ("FINISHED", "RUNNING")
    assert (a.info.start_time, a.info.end_time) == (START * 1000, (START + 10) * 1000)
    found = MlflowClient(tracking_uri=uri).get_metric_history(a.info.run_id, "clean_accuracy")
    assert [(m.step, m.value, m.timestamp) for m in found] == [
        (1, 0.1, (START + 1) * 1000),
        (2, 0.2, (START + 2) * 1000),
    ]
    assert {path.name for path in folder.root.parent.parent.iterdir()} == {"out"}


def assert_delivered(made: Delivery) -> None:
    made.close()
    assert made.num_waiting == 0
    assert made.error is None


def test_tags_come_and_go(uri: str, deliver: Deliver) -> None:
    front = {"tunebox.trial_id": "a", "tunebox.pareto": "true", "tunebox.checkpoint": "a/3.pt"}
    others = [child("b"), child("c")]
    for tags in (front, {"tunebox.trial_id": "a"}, {**front, "tunebox.checkpoint": "a/4.pt"}):
        assert_delivered(deliver(uri, child("a", tags=tags), *others))
        found = runs_of(uri)
        ours = {k: v for k, v in found["a"].data.tags.items() if k in front}
        assert ours == tags
        assert "tunebox.pareto" not in found["b"].data.tags


@BY_CALLS
def test_what_waits_is_sent_in_few_calls(uri: str, deliver: Deliver, calls: Counter[str]) -> None:
    parent = replace(PARENT, params={f"p{i}": i for i in range(250)})
    runs = [child(name, 400, status="FINISHED", end_time=START) for name in ("a", "b")]
    assert_delivered(deliver(uri, *runs, parent=parent))
    # 250 parameters are 3 calls; 400 reports of 4 metrics are 2 calls for each trial
    assert calls == {"create_run": 3, "log_batch": 3 + 2 + 2}
    by_name = runs_of(uri)
    assert len(by_name["s-1"].data.params) == 250
    steps = [step for step, _ in history(uri, by_name["a"], "train_seconds")]
    assert steps == list(range(1, 401))


def test_nothing_new_is_no_call(uri: str, deliver: Deliver, calls: Counter[str]) -> None:
    runs = [child(name, 3, status="FINISHED", end_time=START) for name in ("a", "b")]
    assert_delivered(deliver(uri, *runs))
    calls.clear()
    assert_delivered(deliver(uri, *runs))
    assert calls == {}


def test_long_values_and_strange_keys_arrive(uri: str, deliver: Deliver) -> None:
    params: dict[str, Scalar] = {"long": "x" * 10_000, "our best (2)": 1, "k" * 400: 2}
    broken = Report(0, {"broken": float("nan"), "huge": float("inf")}, START)
    parent = replace(PARENT, params=params, points=[broken], num_points=1)
    reason = child("a", tags={"tunebox.reason": "y" * 20_000})
    assert_delivered(deliver(uri, reason, parent=parent))
    by_name = runs_of(uri)
    found = by_name["s-1"].data.params
    assert len(found) == 3
    assert found[values.key("our best (2)")] == "1"
    assert found["long"].endswith("(cut: 10000 characters)")
    assert len(by_name["a"].data.tags["tunebox.reason"]) == values.MAX_TAG
    assert set(by_name["s-1"].data.metrics) == {"broken", "huge"}


@BY_CALLS
def test_no_call_waits_for_mlflow(
    uri: str, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    create_run = MlflowClient.create_run

    def slow(self: MlflowClient, *args: Any, **kwargs: Any) -> Any:
        release.wait(30)
        return create_run(self, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, "create_run", slow)
    start = time.monotonic()
    made = deliver(uri, *(child(f"t{number}", 1) for number in range(200)))
    assert time.monotonic() - start < 1.0
    monkeypatch.setattr(delivery, "END_SECONDS", 0.2)
    made.close()
    assert made.num_waiting >= 401  # no progress: all are told as undelivered
    assert time.monotonic() - start < 2.0
    release.set()
    assert made._thread is not None
    made._thread.join(30)  # it must not take part in the next test


@BY_CALLS
def test_calls_whose_answers_are_lost_make_no_second_run(
    uri: str,
    deliver: Deliver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(delivery, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(delivery, "_LONGEST_PAUSE", 0.01)
    create_run, failures = MlflowClient.create_run, iter(range(12))

    def away(self: MlflowClient, *args: Any, **kwargs: Any) -> Any:
        run = create_run(self, *args, **kwargs)
        if next(failures, None) is not None:
            raise ConnectionError("the answer got lost")  # the run was made all the same
        return run

    monkeypatch.setattr(MlflowClient, "create_run", away)
    names = [f"t{number}" for number in range(12)]
    assert_delivered(deliver(uri, *(child(name, 1) for name in names)))
    assert set(runs_of(uri)) == {"s-1", *names}
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the answer got lost" in caplog.text


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


@BY_CALLS
def test_a_store_that_never_works_is_reported_and_raises_nothing(
    uri: str,
    deliver: Deliver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(delivery, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(delivery, "AWAY_SECONDS", 0.1)

    def broken(*_: Any, **__: Any) -> None:
        raise MlflowException("no route to the server")  # what a lost connection looks like

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", broken)
    made = deliver(uri, child("a"))
    made.close()
    assert made.num_waiting > 2
    assert len(caplog.records) == 1
    assert made.error == "no route to the server"


@BY_CALLS
def test_a_server_that_is_not_there_is_told_soon_and_without_the_password(
    deliver: Deliver,
    folder: SearchFolder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(delivery, "AWAY_SECONDS", 0.5)
    made = deliver(f"http://me:secret@127.0.0.1:{free_port()}", child("a"))
    start = time.monotonic()
    made.close()
    assert made.num_waiting
    assert time.monotonic() - start < 5
    assert made.error is not None
    assert "refused" in made.error
    assert "127.0.0.1" in caplog.text
    for said in (made.error, caplog.text, folder.mlflow.read_text(encoding="utf-8")):
        assert "secret" not in said
        assert "me:" not in said
    assert made._thread is not None
    made._thread.join(30)
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


@BY_CALLS
def test_an_update_that_is_refused_does_not_hold_up_the_others(
    uri: str, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_batch = MlflowClient.log_batch

    def picky(self: MlflowClient, run_id: str, *args: Any, **kwargs: Any) -> Any:
        if self.get_run(run_id).info.run_name == "a":
            raise MlflowException.invalid_parameter_value("not this one")
        return log_batch(self, run_id, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, "log_batch", picky)
    made = deliver(uri, child("a", 1), child("b", 1))
    assert_delivered(made)
    assert made.refusals == ["a: not this one"] * 2  # its parameters, and its report
    by_name = runs_of(uri)
    assert by_name["b"].data.metrics["clean_accuracy"] == 0.1
    assert by_name["a"].data.metrics == {}


def test_a_run_that_somebody_deleted_is_named_and_left_out(uri: str, deliver: Deliver) -> None:
    assert_delivered(deliver(uri, child("a", 1), child("b", 1)))
    gone = runs_of(uri)["a"].info.run_id
    MlflowClient(tracking_uri=uri).delete_run(gone)
    for _ in range(2):
        made = deliver(uri, child("a", 2), child("b", 2))
        assert_delivered(made)
        assert made.refusals == [f"a: its run {gone} was deleted"]
        assert set(runs_of(uri)) == {"s-1", "b"}


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_run_that_says_more_than_the_search_knows_is_written_again(
    folder: SearchFolder, uri: str, deliver: Deliver, is_lost: bool
) -> None:
    """What a power cut took from the journal is trained again, at another time, or never."""
    folder.journal.write_bytes(b"header\nfirst event\n")
    assert_delivered(deliver(uri, child("a", 1), child("b", 3), child("c"), child("d", 2)))
    before = runs_of(uri)
    if is_lost:
        folder.mlflow.unlink()
    other = [make_report(1, 0.1, 0.2), replace(make_report(2, 0.9, 0.9), time=START + 2.5)]
    runs = [child("a", 2), child("b", 2, points=other, status="FINISHED"), child("c", params={})]
    assert_delivered(deliver(uri, *runs))
    after = runs_of(uri)
    assert set(after) == {"s-1", "a", "b", "c"}  # there is no trial d
    assert history(uri, after["b"], "clean_accuracy") == [(1, 0.1), (2, 0.9)]
    same = {name for name in after if after[name].info.run_id == before[name].info.run_id}
    assert same >= {"s-1", "a"}
    assert "b" not in same


def test_metrics_of_the_search_have_no_step_twice(
    folder: SearchFolder, uri: str, deliver: Deliver
) -> None:
    folder.journal.write_bytes(b"header\nfirst event\n")
    for number, volume in enumerate((0.25, 0.5)):
        folder.mlflow.unlink(missing_ok=True)
        points = [Report(1, {"hypervolume": volume}, START + number)]
        assert_delivered(deliver(uri, parent=replace(PARENT, points=points, num_points=1)))
    assert history(uri, runs_of(uri)["s-1"], "hypervolume") == [(1, 0.25), (2, 0.5)]


@BY_CALLS
def test_mlflow_of_the_program_around_is_left_alone(uri: str, deliver: Deliver) -> None:
    before = mlflow.get_tracking_uri()
    assert_delivered(deliver(uri, child("a"), child("b")))
    assert mlflow.get_tracking_uri() == before
    assert mlflow.active_run() is None


class StrainedStore:
    """Takes little at once, and notes what it took."""

    rows = None
    calls_at_once = 1
    is_lost = False

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken: list[int] = []
        self.calls = 0

    def announce(self, keys: list[str | None]) -> None:
        assert not keys

    def send(self, run_id: str, update: Any) -> None:
        self.calls += 1
        if len(update.points) > self.most:
            raise ConnectionError("too much at once")
        self.taken += [point.epoch for point in update.points]


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_what_fails_is_sent_in_smaller_pieces(
    folder: SearchFolder, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_FIRST_PAUSE", 0.0)
    monkeypatch.setattr(delivery, "_TRIES", 10)
    made, store = Delivery(Cursor(folder, ""), "http://host", Path()), StrainedStore(most)
    made.runs[None] = SentRun("run")
    monkeypatch.setattr(made, "_open_store", lambda: store)
    points = [Report(step, {"m": 1.0}, START + step) for step in range(1, 100)]
    made.put(None, replace(PARENT, points=points, num_points=99))
    made.deliver_now()
    assert made.num_waiting == 0
    assert store.taken == list(range(1, 100))
    assert made.error is None
    assert store.calls <= (1 if most == 1000 else 300)


class SlowStore(StrainedStore):
    """Takes a twentieth of a second for each call, and is gone after ten."""

    def send(self, run_id: str, update: Any) -> None:
        if self.calls >= 10:
            raise ConnectionError("gone")
        time.sleep(0.05)
        super().send(run_id, update)


def test_what_is_left_says_how_long_it_will_take(
    folder: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_TRIES", 1)
    made, store = Delivery(Cursor(folder, ""), "http://host", Path()), SlowStore(1000)
    monkeypatch.setattr(made, "_open_store", lambda: store)
    assert made.backlog().seconds is None
    for number in range(30):  # each lacks its parameters and a report
        made.runs[f"t{number}"] = SentRun("run", tags={"tunebox.trial_id": f"t{number}"})
        made.put(f"t{number}", child(f"t{number}", 1))
    made.deliver_now()
    left = made.backlog()
    assert (left.num_updates, left.num_trials) == (2 * 20, 20)
    assert left.seconds == pytest.approx(20 * 0.05, rel=0.3)  # two updates a call


def test_the_further_behind_the_fewer_pauses(folder: SearchFolder) -> None:
    made = Delivery(Cursor(folder, ""), "http://host", Path())
    assert made._pause_after(0.1) == 3.0
    pauses = []
    for number in range(300):
        made.put(str(number), child(str(number)))
        pauses.append(made._pause_after(2.0))
    assert pauses == sorted(pauses, reverse=True)
    assert pauses[0] == pytest.approx(2.0 * 7 / 3, rel=0.02)
    assert pauses[-1] == 0.0
