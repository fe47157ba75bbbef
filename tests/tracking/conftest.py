"""A store in a database, and the delivery of the runs of a search to it."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from tests.tracking.delivering import PARENT, MakeStore
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.tracking import client
from tunebox.tracking.cursor import Cursor
from tunebox.tracking.delivery import Delivery
from tunebox.tracking.runs import RunState
from tunebox.tracking.stores import public_uri


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
