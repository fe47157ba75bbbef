"""cluster.yaml brought up on an EC2 that only writes down what it is asked for.

What it calls an instance is a test host: it hands out the addresses that the hosts have.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.command_line import SEARCH_FILE, free_port
from tests.faults.check_records import check_tables
from tests.faults.search_process import wait_until
from tests.remote.hosts import Hosts, running_hosts
from tests.remote.laptop import Config, Laptop, adapt, check_doctor, listens, shipped

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1800)]

KEY_NAME = "test"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class FakeEc2:
    """EC2 at an address, with a network and a key for instances."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.client = boto3.client(
            "ec2",
            endpoint_url=endpoint,
            region_name=shipped("cluster.yaml")["provider"]["region"],
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )

    def make_subnet(self, prefix: str) -> str:
        """Return a network whose first instances have the addresses PREFIX.4, PREFIX.5, .."""
        vpc = self.client.create_vpc(CidrBlock=f"{prefix}.0/24")["Vpc"]["VpcId"]
        subnet = self.client.create_subnet(VpcId=vpc, CidrBlock=f"{prefix}.0/24")["Subnet"]
        return str(subnet["SubnetId"])

    def instances(self) -> dict[str, dict[str, Any]]:
        """Return each instance by its node type."""
        reservations = self.client.describe_instances()["Reservations"]
        found = [instance for entry in reservations for instance in entry["Instances"]]
        return {node_type_of(instance): instance for instance in found}

    def states(self) -> dict[str, str]:
        """Return how each instance is, by its node type."""
        return {name: node["State"]["Name"] for name, node in self.instances().items()}

    def open_to_the_world(self) -> list[tuple[str, int | None]]:
        """Return protocol and port of what the instances' groups let in from anywhere."""
        groups = {
            group["GroupId"]
            for node in self.instances().values()
            for group in node["SecurityGroups"]
        }
        described = self.client.describe_security_groups(GroupIds=sorted(groups))
        return [
            (rule["IpProtocol"], rule.get("FromPort"))
            for group in described["SecurityGroups"]
            for rule in group["IpPermissions"]
            if rule.get("IpRanges") or rule.get("Ipv6Ranges")
        ]


def node_type_of(instance: dict[str, Any]) -> str:
    [name] = [t["Value"] for t in instance["Tags"] if t["Key"] == "ray-user-node-type"]
    return str(name)


@contextmanager
def fake_ec2(address: str, log: Path) -> Iterator[FakeEc2]:
    """Run a fake EC2 that listens at ``address``."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", address, "-p", str(port)]
    environment = {**os.environ, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}
    with (
        log.open("wb") as file,
        subprocess.Popen(command, env=environment, stdout=file, stderr=file) as server,
    ):
        try:
            wait_until(lambda: listens(address, port), "fake EC2", 120)
            yield FakeEc2(f"http://{address}:{port}")
        finally:
            server.kill()


@pytest.fixture(scope="module")
def hosts(can_make_hosts: None) -> Iterator[Hosts]:
    """Two hosts, with the addresses that EC2 gives to the first two instances of a subnet."""
    with running_hosts(2, first=4) as hosts:
        yield hosts


@pytest.fixture(scope="module")
def ec2(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeEc2]:
    with fake_ec2(hosts.gateway, tmp_path_factory.mktemp("ec2") / "log") as ec2:
        public = hosts.key.with_suffix(".pub").read_bytes()
        ec2.client.import_key_pair(KeyName=KEY_NAME, PublicKeyMaterial=public)
        yield ec2


@pytest.fixture(scope="module")
def laptop(ec2: FakeEc2, hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """A laptop that brought the cluster up."""
    laptop = Laptop(tmp_path_factory.mktemp("laptop"))
    cloud = {"AWS_ENDPOINT_URL": ec2.endpoint, **CREDENTIALS}
    laptop.environment |= cloud
    config = shipped("cluster.yaml")
    place_on(config, ec2.make_subnet(hosts.subnet), ec2.client.describe_images()["Images"][0])
    adapt(config, hosts.key, **cloud)
    laptop.write("cluster.yaml", config)
    laptop.type("ray up -y cluster.yaml")
    return laptop


def place_on(config: Config, subnet: str, image: dict[str, Any]) -> None:
    """Let the instances be the test hosts, which have all that would be installed."""
    config["max_workers"] = 1  # as many as there are hosts for
    config["provider"]["use_internal_ips"] = True
    for node_type in config["available_node_types"].values():
        node_type["node_config"] |= {
            "ImageId": image["ImageId"],
            "KeyName": KEY_NAME,
            "SubnetIds": [subnet],
        }
    config["initialization_commands"] = []
    config["head_setup_commands"] = []


def test_up_starts_the_head_alone_and_opens_ssh_alone(laptop: Laptop, ec2: FakeEc2) -> None:
    assert list(ec2.instances()) == ["head"]
    assert "InstanceLifecycle" not in ec2.instances()["head"]
    assert ec2.open_to_the_world() == [("tcp", 22)]


def test_all_is_well(laptop: Laptop) -> None:
    printed = laptop.type("tunebox doctor --cluster cluster.yaml")
    check_doctor(printed, "host-1")


def test_a_search_from_the_laptop_gets_a_spot_worker(
    laptop: Laptop, ec2: FakeEc2, hosts: Hosts
) -> None:
    endless = SEARCH_FILE.replace("trials: 12", "trials: 1000").replace("epochs: 6", "epochs: 24")
    (laptop.checkout / "my_search.yaml").write_text(endless, encoding="utf-8")
    search = laptop.type_and_leave(
        "tunebox search my_search.yaml --cluster cluster.yaml --name mine"
    )
    try:
        wait_until(lambda: "reported" in journal_of(hosts, "mine"), "report", 600)
    finally:
        search.end()  # the laptop is closed; the search goes on
    watched = laptop.type_and_leave("tunebox attach mine --cluster cluster.yaml")
    try:
        laptop.type("tunebox stop mine --cluster cluster.yaml")
        assert watched.wait(240) == 130
    finally:
        watched.end()
    assert '"node": "host-2"' in journal_of(hosts, "mine")
    assert '"node": "host-1"' not in journal_of(hosts, "mine")
    check_tables(laptop.checkout / "results/mine")
    worker = ec2.instances()["gpu_worker"]
    assert worker["InstanceLifecycle"] == "spot"
    assert worker["InstanceType"] == "g6.xlarge"


def test_mlflow_is_seen_from_the_laptop(laptop: Laptop) -> None:
    pages = laptop.type_and_leave("tunebox ui --cluster cluster.yaml")
    try:
        wait_until(lambda: "http://" in pages.printed, "address", 120)
        address = re.findall(r"http://[\d.:]+", pages.printed)[0]
        wait_until(lambda: is_healthy(address), "answer", 120)
    finally:
        pages.end()


def is_healthy(address: str) -> bool:
    """Return whether MLflow answers; the tunnel to it may just be made."""
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=60) as answer:
            return bool(answer.read() == b"OK")
    except OSError:
        return False


def test_a_search_with_rays_own_commands(laptop: Laptop) -> None:
    (laptop.checkout / "my_search.yaml").write_text(SEARCH_FILE, encoding="utf-8")
    laptop.type("ray rsync-up cluster.yaml my_search.yaml '~/my_search.yaml'")
    printed = laptop.type("ray exec cluster.yaml 'tunebox search my_search.yaml --name other'")
    assert "files   /mnt/tunebox/results/other" in printed
    (laptop.checkout / "results/other").mkdir(parents=True)
    laptop.type("ray rsync-down cluster.yaml /mnt/tunebox/results/other/ results/other/")
    check_tables(laptop.checkout / "results/other")


def journal_of(hosts: Hosts, name: str) -> str:
    journal = hosts.shared / "results" / name / "journal.jsonl"
    return journal.read_text(encoding="utf-8") if journal.exists() else ""


def test_down_leaves_nothing_running(laptop: Laptop, ec2: FakeEc2, hosts: Hosts) -> None:
    laptop.type("ray down -y cluster.yaml")
    states = ec2.states()
    assert states["head"] == "stopped"
    # Ray terminates an instance with the id of a spot request; this EC2 gives spot ones no such id
    assert states["gpu_worker"] in ("stopped", "terminated")
    assert hosts.run(1, "pgrep", "raylet").stdout == ""


def test_the_head_is_the_same_when_it_is_up_again_and_can_be_ended_then(
    laptop: Laptop, ec2: FakeEc2
) -> None:
    before = ec2.instances()["head"]["InstanceId"]
    laptop.type("ray up -y cluster.yaml")
    assert ec2.instances()["head"]["InstanceId"] == before
    assert ec2.states()["head"] == "running"
    config = laptop.read("cluster.yaml")
    config["provider"]["cache_stopped_nodes"] = False
    laptop.write("cluster.yaml", config)
    laptop.type("ray down -y cluster.yaml")
    assert ec2.states()["head"] == "terminated"


@pytest.mark.skipif(shutil.which("aws") is None, reason="needs the command line of AWS")
def test_what_is_left_can_be_seen(laptop: Laptop, ec2: FakeEc2) -> None:
    head = ec2.instances()["head"]["InstanceId"]
    shipped_name = {"Key": "ray-cluster-name", "Value": "tunebox"}  # adapt gave it another
    ec2.client.create_tags(Resources=[head], Tags=[shipped_name])
    printed = laptop.type(
        "aws ec2 describe-instances --region us-west-2"
        " --filters Name=tag:ray-cluster-name,Values=tunebox"
        " --query 'Reservations[].Instances[].[InstanceId,State.Name]'"
    )
    assert json.loads(printed) == [[head, "terminated"]]
