"""What a trial asks for, against the two CPUs of a cluster without GPUs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray

from tests.ray_cluster import RayCluster
from tunebox.engine.nodes.capacity import check_capacity, trial_resources
from tunebox.engine.nodes.nodes import fits
from tunebox.errors import ClusterError
from tunebox.spec.search_settings import SearchSettings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module", autouse=True)
def _joined(ray_cluster: RayCluster) -> Iterator[None]:
    ray.init(address=ray_cluster.address, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def trouble(**options: object) -> str:
    search = SearchSettings.model_validate(options)
    with pytest.raises(ClusterError) as error:
        check_capacity(search, trial_resources(search))
    return str(error.value)


def test_a_whole_node_is_all_of_its_cpus() -> None:
    search = SearchSettings(cpus_per_trial="node")
    assert trial_resources(search) == {"CPU": 2.0, "GPU": 0.0}
    assert check_capacity(search, trial_resources(search)) is None


def test_more_than_there_is_is_one_line() -> None:
    line = "--cpus-per-trial 2.5: the largest node of the cluster has 2 CPUs; ask for at most that"
    assert trouble(cpus_per_trial=2.5) == line


def test_without_a_gpu_none_can_be_measured() -> None:
    if ray.cluster_resources().get("GPU"):
        pytest.skip("the cluster has a GPU")
    line = "--gpus-per-trial auto: the largest node of the cluster has 0 GPUs; leave it out"
    assert trouble(gpus_per_trial="auto") == line
    assert "no node with 1 GPUs" in trouble(gpus_per_trial=1, cpus_per_trial="node")


def test_a_request_fits_when_each_resource_does() -> None:
    assert fits({"CPU": 2, "GPU": 0}, {"CPU": 2.0})
    assert not fits({"CPU": 1, "GPU": 0.25}, {"CPU": 8.0})
    assert not fits({"CPU": 1}, {})
