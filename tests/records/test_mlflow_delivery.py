from pathlib import Path
from typing import cast

import pytest
import requests
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    PERMISSION_DENIED,
    RESOURCE_DOES_NOT_EXIST,
)

from tunebox.records import mlflow_delivery
from tunebox.records.mlflow_delivery import Delivery, _is_refusal
from tunebox.records.mlflow_operations import LogMetrics, StartSearch
from tunebox.records.outbox import Outbox
from tunebox.records.run_updates import RunUpdate

DATABASE, SERVER = "sqlite:///x.db", "http://host"


def rest_error(content: dict[str, str]) -> Exception:
    """What MLflow's client makes of an answer in MLflow's own form."""
    return cast(Exception, RestException(content))  # type: ignore[no-untyped-call]


def answer(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError("no", response=response)


@pytest.mark.parametrize(
    ("error", "uri"),
    [
        (MlflowException("no", INVALID_PARAMETER_VALUE), DATABASE),
        (rest_error({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}), SERVER),
        (answer(413), SERVER),  # a file that is too large
        (LookupError("no run for a"), SERVER),
    ],
    ids=str,
)
def test_what_will_never_be_taken_is_a_refusal(error: Exception, uri: str) -> None:
    assert _is_refusal(error, uri)


@pytest.mark.parametrize(
    ("error", "uri"),
    [
        (MlflowException("locked", INTERNAL_ERROR), DATABASE),
        (MlflowException("<html>", RESOURCE_DOES_NOT_EXIST), SERVER),  # not the server: a proxy
        (MlflowException("password", PERMISSION_DENIED), DATABASE),  # a person can mend it
        (rest_error({"error_code": "UNAUTHENTICATED", "message": "no"}), SERVER),
        (rest_error({"message": "no code at all"}), SERVER),
        (ConnectionError("no route to host"), SERVER),
        (requests.Timeout("too slow"), SERVER),
        (answer(503), SERVER),
        (RuntimeError("who knows"), SERVER),
    ],
    ids=str,
)
def test_what_may_be_taken_later_is_none(error: Exception, uri: str) -> None:
    assert not _is_refusal(error, uri)


class StrainedWriter:
    """Takes little at once, and notes what it took."""

    def __init__(self, outbox: Outbox, most: int) -> None:
        self.outbox = outbox
        self.most = most
        self.taken: list[int] = []
        self.calls = 0

    def send(self, update: RunUpdate) -> None:
        self.calls += 1
        if len(update.operations) > self.most:
            raise ConnectionError("too much at once")
        if update.start is not None:
            self.outbox.created(update.trial_id, "run")
        self.taken += update.numbers


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_what_fails_is_sent_in_smaller_pieces(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_delivery, "_FIRST_PAUSE", 0.0)
    monkeypatch.setattr(mlflow_delivery, "_TRIES", 10)
    outbox = Outbox(None)
    outbox.add(StartSearch("s", {}, {}, (), 0.0))
    for step in range(99):
        outbox.add(LogMetrics(None, {"m": 1.0}, step, 1.0))
    delivery, writer = Delivery(outbox, SERVER, Path()), StrainedWriter(outbox, most)
    monkeypatch.setattr(delivery, "_open_writer", lambda: writer)
    delivery.deliver_now()
    assert outbox.num_waiting == 0
    assert writer.taken == list(range(1, 101))
    assert delivery.error is None
    assert writer.calls <= (1 if most == 1000 else 300)
