import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import settings

from tests.command_line import SEARCH_FILE, succeed
from tests.ray_cluster import joined, ray_address, ray_cluster
from tunebox.records.search_folder import SearchFolder

__all__ = ["joined", "ray_address", "ray_cluster"]

# On a busy machine a slow example is no fault; the same examples each time make failures repeat.
# The quick tests are for every save, the whole suite is for every change.
for profile, num_examples in {"tunebox": 100, "quick": 20}.items():
    settings.register_profile(
        profile, deadline=None, derandomize=True, database=None, max_examples=num_examples
    )
settings.load_profile("tunebox")

# `pytest -m quick` collects these folders and files alone. They need no Ray and no MLflow, and a
# test in them is quick unless it is marked slow.
QUICK = {
    *("data", "decisions", "losses", "metrics", "models", "noise", "optim", "pareto"),
    *("records", "reports", "spec", "training", "test_docs.py", "test_text.py"),
    "test_tutorials.py",
}
NOT_IN_QUICK = ("mlflow", "ray")
TESTS = Path(__file__).parent


def only_quick(config: pytest.Config) -> bool:
    """Tell whether the quick tests alone were asked for."""
    return bool(config.getoption("markexpr") == "quick")


def is_quick_file(path: Path) -> bool:
    """Tell whether a file or folder of tests is among the quick ones."""
    return TESTS in path.parents and path.relative_to(TESTS).parts[0] in QUICK


def pytest_configure(config: pytest.Config) -> None:
    """Draw fewer examples for the quick tests; `settings` of a test itself win."""
    if only_quick(config):
        settings.load_profile("quick")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files alone that import Ray or MLflow: pytest imports before it looks at markers."""
    if only_quick(config) and TESTS in collection_path.parents:
        return None if is_quick_file(collection_path) else True
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is quick, and give all other tests a second try.

    Those start processes and real servers, kill them, and race with the clocks of Ray; on a busy
    machine one of them can miss its moment. The report counts each second try as ``rerun``.
    """
    for item in items:
        if is_quick_file(item.path) and item.get_closest_marker("slow") is None:
            item.add_marker("quick")
        else:
            item.add_marker(pytest.mark.flaky(reruns=1))


_imported_by_workers: set[str] = set()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Remember what a process of pytest-xdist has imported."""
    _imported_by_workers.update(getattr(node, "workeroutput", {}).get("imported", []))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run of the quick tests that imported what they do without."""
    if not only_quick(session.config):
        return
    imported = {name for name in NOT_IN_QUICK if name in sys.modules} | _imported_by_workers
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["imported"] = sorted(imported)
    elif imported:
        print(f"\nthe quick tests have imported {', '.join(sorted(imported))}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


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


@dataclass(frozen=True)
class MadeOnce:
    """Makes what is expensive once for all processes of pytest-xdist."""

    root: Path  # a folder that all of them see

    def folder(self, name: str, fill: Callable[[Path], None]) -> Path:
        """Return a folder that the first process that asked has filled; change nothing in it."""
        folder, is_made = self.root / name, self.root / f"{name}.made"
        with FileLock(self.root / f"{name}.lock"):
            if not is_made.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of one that failed
                folder.mkdir()
                fill(folder)
                is_made.touch()
        return folder


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> MadeOnce:
    root = tmp_path_factory.getbasetemp()
    return MadeOnce(root if worker_id == "master" else root.parent)


@pytest.fixture(scope="session")
def real_search(made_once: MadeOnce) -> RealSearch:
    """One small search, shared: nothing may be changed in it."""

    def search(home: Path) -> None:
        (home / "methods.yaml").write_text(SEARCH_FILE, encoding="utf-8")
        printed = succeed("search", "methods.yaml", "--out", "out", "--address", "local", cwd=home)
        (home / "printed.txt").write_text(printed, encoding="utf-8")

    home = made_once.folder("home", search)
    printed = (home / "printed.txt").read_text(encoding="utf-8")
    return RealSearch(home, home / "out", SearchFolder(home / "out" / "methods-1"), printed)


@pytest.fixture(scope="session")
def empty_store(made_once: MadeOnce) -> Path:
    """A database that MLflow has set up: that takes seconds, a copy of it none."""

    def make(folder: Path) -> None:
        from mlflow.tracking import MlflowClient

        MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}").search_experiments()

    return made_once.folder("store", make) / "mlflow.db"


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
