"""Stores and runs that fail, refuse or are gone: nothing is lost, and nothing is there twice."""

import os
import time
from dataclasses import replace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tests.command_line import free_port
from tests.records.make_log import START, make_report
from tests.tracking.delivering import BY_CALLS, Deliver, assert_delivered, child, history, runs_of
from tunebox.records.search_folder import SearchFolder
from tunebox.tracking import delivery


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
