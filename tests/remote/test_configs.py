"""The shipped cluster configurations, checked without a cloud."""

from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from tests.remote.check_config import problems, provider_keys
from tests.remote.laptop import CHECKOUT, Config, shipped

NAMES = ["cluster.yaml", "deploy/cluster.local.yaml"]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_wrong(name: str) -> None:
    assert problems(shipped(name)) == []


@pytest.mark.parametrize("name", NAMES)
def test_five_lines_are_marked_as_the_users(name: str) -> None:
    text = (CHECKOUT / name).read_text(encoding="utf-8")
    lines = [line.rpartition("# (")[2][0] for line in text.splitlines() if "# (" in line]
    assert sorted(lines) == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_listens_beyond_the_head(name: str) -> None:
    config = shipped(name)
    assert "security_group" not in config["provider"]  # Ray's own opens port 22 alone
    head = " ".join(config["head_start_ray_commands"])
    assert "--host 127.0.0.1 --port 5000" in head
    assert "0.0.0.0" not in head
    assert "dashboard-host" not in head


def test_workers_are_spot_machines_that_come_when_asked_for() -> None:
    config = shipped("cluster.yaml")
    worker = config["available_node_types"]["gpu_worker"]
    assert worker["min_workers"] == 0
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    head = config["available_node_types"]["head"]
    assert "InstanceMarketOptions" not in head["node_config"]
    assert head["node_config"]["ImageId"] == worker["node_config"]["ImageId"]


def misspell(*path: str) -> Callable[[Config], None]:
    """Return what puts an ``x`` behind the last name of a path."""

    def change(config: Config) -> None:
        inside: Any = config
        for name in path[:-1]:
            inside = inside[name]
        inside[path[-1] + "x"] = inside.pop(path[-1])

    return change


WORKER = ("available_node_types", "gpu_worker")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (misspell("provider", "region"), "provider/regionx is read by nothing"),
        (misspell("provider", "cache_stopped_nodes"), "provider/cache_stopped_nodesx is read"),
        (misspell(*WORKER, "node_config", "InstanceType"), "InstanceTypex"),
        (misspell(*WORKER, "node_config", "InstanceMarketOptions", "MarketType"), "MarketTypex"),
        (misspell("available_node_types", "head", "node_config", "BlockDeviceMappings"), "head: "),
    ],
)  # fmt: skip
def test_a_misspelt_key_that_ray_lets_pass_is_found(
    change: Callable[[Config], None], complaint: str
) -> None:
    config = shipped("cluster.yaml")
    change(config)
    assert complaint in "\n".join(problems(config))


@pytest.mark.parametrize(
    "change",
    [
        misspell("idle_timeout_minutes"),
        misspell("auth", "ssh_user"),
        misspell(*WORKER, "min_workers"),
        misspell("head_node_type"),
    ],
)
def test_a_misspelt_key_of_rays_schema_is_refused(change: Callable[[Config], None]) -> None:
    config = shipped("cluster.yaml")
    change(config)
    with pytest.raises((jsonschema.ValidationError, ValueError)):
        problems(config)


def test_the_keys_that_a_provider_reads_come_from_its_source() -> None:
    assert provider_keys("aws") >= {"region", "availability_zone", "use_internal_ips"}
    assert provider_keys("local") >= {"head_ip", "worker_ips", "coordinator_address"}
    assert "head_ip" not in provider_keys("aws")
