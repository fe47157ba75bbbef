import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from tests.command_line import SEARCH_FILE, succeed
from tests.ray_cluster import joined, ray_address, ray_cluster
from tunebox.records.search_folder import SearchFolder

__all__ = ["joined", "ray_address", "ray_cluster"]

# On a busy machine a slow example is no fault; the same examples each time make failures repeat.
settings.register_profile("tunebox", deadline=None, derandomize=True, database=None)
settings.load_profile("tunebox")


@dataclass(frozen=True)
class RealSearch:
    """A search that the command line ran, out of its working folder ``home``."""

    home: Path
    out: Path
    folder: SearchFolder
    printed: str

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.out / 'mlflow.db'}"


@pytest.fixture(scope="session")
def real_search(tmp_path_factory: pytest.TempPathFactory) -> RealSearch:
    """One small search, shared: nothing may be changed in it."""
    home = tmp_path_factory.mktemp("home")
    (home / "methods.yaml").write_text(SEARCH_FILE, encoding="utf-8")
    printed = succeed("search", "methods.yaml", "--out", "out", "--address", "local", cwd=home)
    return RealSearch(home, home / "out", SearchFolder(home / "out" / "methods-1"), printed)


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
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "TUNEBOX_OUT"):
        monkeypatch.delenv(name, raising=False)
