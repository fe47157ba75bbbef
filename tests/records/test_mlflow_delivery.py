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

from tunebox.records.mlflow_delivery import _is_refusal

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
