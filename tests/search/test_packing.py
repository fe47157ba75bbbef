from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import ray
import torch

from tests.command_line import SEARCH_FILE
from tunebox.errors import ClusterError
from tunebox.search import packing
from tunebox.search.packing import Measured, SideBySide, describe_packing, pack, share
from tunebox.search.room import asked_by_a_trial, measured_gpus
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
) -> tuple[Callable[[int], Measured | None], list[int]]:
    """A measurement that knows its answers, and what it was asked for."""
    asked: list[int] = []

    def measure(number: int) -> Measured | None:
        asked.append(number)
        return Measured(number, rates[number], number * memory) if number in rates else None

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
    assert number * round(share(number) * 10_000) <= 10_000 < (number + 1) * share(number) * 10_000


def test_what_was_chosen_is_said() -> None:
    line = describe_packing([Measured(1, 100.4, 0.1), Measured(2, 190.0, 0.2)])
    assert "2 at once on a GPU, so 0.5 GPUs a trial" in line
    assert "1: 100, 2: 190" in line


@pytest.fixture
def joined(ray_address: str) -> Iterator[None]:
    ray.init(address=ray_address, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("joined")
def test_real_trials_run_side_by_side_in_room_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packing, "_SECONDS", 0.3)
    monkeypatch.setattr(packing, "_WARM_SECONDS", 0.1)
    before = ray.cluster_resources()["CPU"]
    with SideBySide(config_of(spec_of()), {"CPU": 2.0, "GPU": 0.0}, 1.0) as measure:
        assert ray.available_resources().get("CPU", 0.0) == before - 2
        measured = pack(measure, 2)
        broken = config_of(spec_of()).model_copy(update={"data": None})
    assert [each.num_trials for each in measured] in ([1], [1, 2])
    assert all(each.images_per_second > 0 and each.memory == 0 for each in measured)
    with SideBySide(broken, {"CPU": 2.0}, 1.0) as measure, pytest.raises(ClusterError) as error:
        measure(1)
    assert str(error.value).startswith("--gpus-per-trial auto: a trial fails: ")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_measured() -> None:
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    try:
        spec = spec_of(gpus_per_trial="auto")
        gpus, line = measured_gpus(spec, asked_by_a_trial(spec.search))
    finally:
        ray.shutdown()
    assert 0 < gpus <= 1
    assert f"{gpus:g} GPUs a trial" in line
