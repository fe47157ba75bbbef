from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import MadeOnce
from tests.faults.search_process import SearchProcess
from tests.ray_cluster import RayCluster


@pytest.fixture(scope="session")
def undisturbed(made_once: MadeOnce, ray_cluster: RayCluster) -> SearchProcess:
    """A search that nothing happens to; with 10 trials."""

    def run(home: Path) -> None:
        search = SearchProcess(home, "--address", ray_cluster.address)
        search.start()
        code, _, stderr = search.finish()
        assert (code, stderr) == (0, ""), stderr

    return SearchProcess(made_once.folder("undisturbed", run))
