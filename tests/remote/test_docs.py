"""docs/cluster.md: its commands are run as written, or it is said here why not; its files hold."""

import ast
import re
from pathlib import Path
from typing import Any

import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr,
)

from tests.remote.check_config import problems
from tests.remote.laptop import CHECKOUT, documented_commands, shipped

# by how the command starts
NOT_RUN = {
    "pip install .": ".ci/run installs tunebox in this way",
    "aws ssm ": "asks Amazon for its images",
    "aws ec2 terminate-instances ": "names an instance",
    "gcloud ": "asks Google",
    "ray attach ": "opens a shell for a person",
    "docker ": "needs Docker, and a registry",
    "kubectl ": "needs Kubernetes",
}


def typed_by_tests() -> set[str]:
    """Return every literal that a test gives to ``Laptop.type`` or ``Laptop.type_and_leave``."""
    found = set()
    for path in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="type" | "type_and_leave"),
                    args=[ast.Constant(value=str(command))],
                ):
                    found.add(command)
    return found


def test_every_command_is_run_or_has_a_reason_why_not() -> None:
    commands = set(documented_commands())
    assert len(commands) > 10
    excused = {command for command in commands if command.startswith(tuple(NOT_RUN))}
    assert commands - excused == typed_by_tests()
    for start in NOT_RUN:
        assert any(command.startswith(start) for command in commands), start


def test_the_block_for_google_cloud_passes_rays_checks() -> None:
    text = (CHECKOUT / "docs/cluster.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    replaced = yaml.safe_load(block)
    assert set(replaced) == {"provider", "available_node_types"}
    assert problems({**shipped("cluster.yaml"), **replaced}) == []
    assert replaced["provider"]["cache_stopped_nodes"] is True  # else `ray down` deletes results


def manifest() -> dict[str, Any]:
    return shipped("deploy/rayjob.yaml")


def test_rays_autoscaler_reads_what_the_rayjob_means() -> None:
    """KubeRay hands ``rayClusterSpec`` on to Ray as the ``spec`` of a RayCluster."""
    metadata = {"name": "tunebox", "namespace": "default"}
    cluster = {"metadata": metadata, "spec": manifest()["spec"]["rayClusterSpec"]}
    read = _derive_autoscaling_config_from_ray_cr(cluster)
    worker = read["available_node_types"]["gpu-worker"]
    assert worker["resources"]["CPU"] == 4
    assert worker["resources"]["GPU"] == 1
    assert (worker["min_workers"], worker["max_workers"]) == (0, 4)
    assert read["available_node_types"]["headgroup"]["resources"]["CPU"] == 0
    assert read["idle_timeout_minutes"] == 10


def test_all_pods_of_the_rayjob_are_alike_in_what_must_agree() -> None:
    cluster = manifest()["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    pods = [group["template"]["spec"] for group in groups]
    containers = [pod["containers"][0] for pod in pods]
    assert len({container["image"] for container in containers}) == 1
    for pod, container in zip(pods, containers, strict=True):
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
        assert "/mnt/tunebox" in {mount["mountPath"] for mount in container["volumeMounts"]}
    out = {variable["name"]: variable["value"] for variable in containers[0]["env"]}
    assert out["TUNEBOX_OUT"].startswith("/mnt/tunebox/")
