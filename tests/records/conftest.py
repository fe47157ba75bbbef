import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that MLflow has set up: that takes seconds, a copy of it none."""
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def make_store(empty_store: Path) -> Callable[[Path], str]:
    """Put an empty store into a folder and return its URI."""

    def make(out: Path) -> str:
        out.mkdir(parents=True, exist_ok=True)
        shutil.copy(empty_store, out / "mlflow.db")
        return f"sqlite:///{out / 'mlflow.db'}"

    return make


@pytest.fixture(autouse=True)
def _no_tracking_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
