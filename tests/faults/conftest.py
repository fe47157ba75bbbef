from __future__ import annotations

import pytest

from tests.faults.search_process import SearchProcess
from tests.ray_cluster import RayCluster


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, ray_cluster: RayCluster) -> SearchProcess:
    """A search that nothing happens to; with 10 trials."""
    search = SearchProcess(tmp_path_factory.mktemp("undisturbed"), "--address", ray_cluster.address)
    search.start()
    code, _, stderr = search.finish()
    assert (code, stderr) == (0, ""), stderr
    return search
