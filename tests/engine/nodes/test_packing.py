from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import ray
import torch

from tests.command_line import SEARCH_FILE
from tests.engine.nodes.node_cluster import NodeCluster, node_cluster
from tunebox.engine.nodes import packing
from tunebox.engine.nodes.capacity import measure_gpus_per_trial, trial_resources
from tunebox.engine.nodes.nodes import alive_nodes
from tunebox.engine.nodes.packing import (
    Throughput,
    describe_packing,
    gpu_fraction,
    measure_packing,
    pack,
)
from tunebox.errors import ClusterError
from tunebox.spec.load import spec_from_source
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.trial_config import TrialConfig
from tunebox.spec.yaml_source import parse_yaml


def spec_of(**options: object) -> SearchSpec:
    return spec_from_source(parse_yaml(SEARCH_FILE, "made.yaml"), options)


def config_of(spec: SearchSpec) -> TrialConfig:
    return spec.trial_config(spec.space.draw(lambda leaf: leaf.distribution.ends[0]))


def made(
    rates: dict[int, float], memory: float = 0.0
) -> tuple[Callable[[int], Throughput | None], list[int]]:
    """A measurement that knows its answers, and what it was asked for."""
    asked: list[int] = []

    def measure(number: int) -> Throughput | None:
        asked.append(number)
        return Throughput(number, rates[number], number * memory) if number in rates else None

    return measure, asked


@pytest.mark.parametrize(
    ("rates", "memory", "most", "chosen", "asked"),
    [
        pytest.param({1: 100, 2: 190, 3: 260, 4: 262}, 0.0, 8, 3, [1, 2, 3, 4], id="small gain"),
        pytest.param({1: 100, 2: 90}, 0.0, 8, 1, [1, 2], id="no gain"),
        pytest.param({1: 100, 2: 190}, 0.0, 2, 2, [1, 2], id="no more CPUs"),
        pytest.param({1: 100, 2: 200, 3: 300}, 0.3, 8, 3, [1, 2, 3], id="memory of four"),
        pytest.param({1: 100, 2: 200}, 0.0, 8, 2, [1, 2, 3], id="three do not fit"),
        pytest.param({1: 100}, 0.95, 8, 1, [1], id="one fills it"),
        pytest.param({n: n for n in range(1, 99)}, 0.0, 13, 12, [1, 2, 3, 4, 6, 8, 12], id="all"),
    ],
)
def test_trials_are_added_while_that_pays(
    rates: dict[int, float], memory: float, most: int, chosen: int, asked: list[int]
) -> None:
    measure, was_asked = made(rates, memory)
    assert pack(measure, most)[-1].num_trials == chosen
    assert was_asked == asked


def test_a_trial_that_does_not_fit_is_one_line() -> None:
    measure, _ = made({})
    with pytest.raises(ClusterError, match="does not fit into the memory of a GPU; take"):
        pack(measure, 4)


@pytest.mark.parametrize("number", range(1, 50))
def test_so_many_shares_fit_on_a_gpu_and_no_more(number: int) -> None:
    assert (
        number * round(gpu_fraction(number) * 10_000)
        <= 10_000
        < (number + 1) * gpu_fraction(number) * 10_000
    )


def test_the_line_names_the_choice_and_the_measurements() -> None:
    line = describe_packing([Throughput(1, 100.4, 0.1), Throughput(2, 190.0, 0.2)])
    assert "2 at once on a GPU, so 0.5 GPUs a trial" in line
    assert "1: 100, 2: 190" in line


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeCluster]:
    """A cluster whose GPUs are numbers: what runs on them runs on the CPU."""
    with node_cluster(tmp_path_factory.mktemp("nodes")) as made:
        ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
        yield made


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_MEASURE_SECONDS", 0.3)
    monkeypatch.setattr(packing, "_WARM_UP_SECONDS", 0.1)


def spied_pack(monkeypatch: pytest.MonkeyPatch, before: Callable[[], None]) -> list[int]:
    """Call ``before`` once resources are reserved, and record how many trials fit each time."""
    capacity: list[int] = []

    def spy(measure: Callable[[int], Throughput | None], most: int) -> list[Throughput]:
        capacity.append(most)
        before()
        return pack(measure, most)

    monkeypatch.setattr(packing, "pack", spy)
    return capacity


ASKED = {"CPU": 1.0, "GPU": 1.0}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_node_that_joins_and_is_not_excluded_is_measured(
    cluster: NodeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfit = cluster.add("unfit", num_cpus=8, num_gpus=1)
    left: list[dict[str, float]] = []
    capacity = spied_pack(monkeypatch, lambda: left.append(ray.available_resources()))
    spec = spec_of(gpus_per_trial="auto")
    asked = trial_resources(spec.search)
    with ThreadPoolExecutor() as pool:
        measuring = pool.submit(measure_gpus_per_trial, spec, asked, {unfit: "no data"})
        cluster.add("late", num_cpus=2, num_gpus=1)
        gpus, line = measuring.result()
    assert capacity == [2]  # of the CPUs of the node that joined
    assert (left[0]["CPU"], left[0]["GPU"]) == (9.0, 1.0)  # of 11 and 2: nothing else runs there
    assert gpus in (1, 0.5)
    assert f"{gpus:g} GPUs a trial (images per second by trials at once: 1: " in line
    cluster.kill(unfit)
    cluster.wait_until_dead(unfit)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_failing_trial_is_one_line(cluster: NodeCluster) -> None:
    broken = config_of(spec_of()).model_copy(update={"data": None})
    with pytest.raises(ClusterError, match=r"^--gpus-per-trial auto: a trial fails: "):
        measure_packing(broken, ASKED, {})


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("cluster")
def test_a_gpu_has_several_ways_to_say_that_its_memory_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Full:
        def __init__(self, config: TrialConfig, cpus: float) -> None:
            pass

        def rehearse(self, seconds: float) -> float:
            raise RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)")

    monkeypatch.setattr(packing, "_Rehearsal", Full)
    with pytest.raises(ClusterError, match="a trial does not fit into the memory of a GPU"):
        measure_packing(config_of(spec_of()), ASKED, {})


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("cluster")
def test_a_trial_that_is_killed_is_measured_once_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Killed:
        """Is killed once for each file."""

        def __init__(self, config: TrialConfig, cpus: float) -> None:
            pass

        def rehearse(self, seconds: float) -> float:
            for path in tmp_path.iterdir():
                path.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            return 7.0

        def memory(self) -> float:
            return 0.0

    monkeypatch.setattr(packing, "_Rehearsal", Killed)
    (tmp_path / "once").touch()
    measured = measure_packing(config_of(spec_of()), ASKED, {})
    assert [each.images_per_second for each in measured] == [7.0, 14.0]
    for kill in ("once", "twice"):
        (tmp_path / kill).touch()
    with pytest.raises(ClusterError, match=r"auto: a trial was killed on \S+ \(.*\), in 2 tries"):
        measure_packing(config_of(spec_of()), ASKED, {})


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_node_that_is_taken_back_is_left_for_another(
    cluster: NodeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    [first] = [node for node in alive_nodes() if node.resources.get("GPU")]
    kill = [lambda: cluster.kill(first.node_id), lambda: None]
    capacity = spied_pack(monkeypatch, lambda: kill.pop(0)())
    with ThreadPoolExecutor() as pool:
        measuring = pool.submit(measure_packing, config_of(spec_of()), ASKED, {})
        while not capacity:
            time.sleep(0.05)
        cluster.add("other", num_gpus=1)
        measured = measuring.result()
    assert capacity == [2, 1]
    assert [each.num_trials for each in measured] == [1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_measured() -> None:
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    try:
        spec = spec_of(gpus_per_trial="auto")
        gpus, line = measure_gpus_per_trial(spec, trial_resources(spec.search), {})
    finally:
        ray.shutdown()
    assert 0 < gpus <= 1
    assert f"{gpus:g} GPUs a trial" in line
