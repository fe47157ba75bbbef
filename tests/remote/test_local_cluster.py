"""deploy/cluster.local.yaml on three hosts: up, a search while hosts die and vanish, down."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import SEARCH_FILE, free_port
from tests.faults.check_records import check_records, check_tables
from tests.faults.search_process import wait_until
from tests.remote.hosts import Hosts
from tests.remote.laptop import (
    LOCAL,
    Laptop,
    Typed,
    bring_up_local,
    check_doctor,
    listens,
    wait_for_nodes,
)

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1800)]

# more than can be done: the test ends the search when it has seen enough
ENDLESS = (
    SEARCH_FILE.replace("trials: 12", "trials: 1000")
    .replace("max_epochs: 6", "max_epochs: 24")
    .replace("num_draws: 2", "num_draws: 400")  # seconds a trial, so that some are cut short
)


@pytest.fixture(scope="module")
def laptop(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """A laptop that has brought the cluster up."""
    laptop = bring_up_local(tmp_path_factory.mktemp("laptop"), hosts)
    (laptop.checkout / "endless.yaml").write_text(ENDLESS, encoding="utf-8")
    return laptop


class RunningSearch:
    """A search on the cluster, seen through its journal on the shared folder."""

    def __init__(self, folder: Path, typed: Typed) -> None:
        self.folder = folder
        self.typed = typed

    def events(self) -> list[dict[str, Any]]:
        journal = self.folder / "journal.jsonl"
        if not journal.exists():
            return []
        lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines[1:] if line.endswith("\n")]

    def wait_for_reports_from(self, *nodes: str) -> None:
        """Wait until each of ``nodes`` has reported after now."""
        seen = len(self.events())

        def all_have() -> bool:
            time.sleep(0.5)  # the journal grows long
            assert not self.typed.has_ended, self.typed.printed
            return {event.get("node") for event in self.events()[seen:]} >= set(nodes)

        wait_until(all_have, f"reports from {', '.join(nodes)}", 600)


@contextmanager
def mlflow_of(hosts: Hosts) -> Iterator[str]:
    """Give the address of the head's MLflow through a tunnel."""
    port = free_port()
    *ssh, target = hosts.ssh(1)
    with subprocess.Popen([*ssh, "-N", "-L", f"{port}:127.0.0.1:5000", target]) as tunnel:
        try:
            wait_until(lambda: listens("127.0.0.1", port), "tunnel", 60)
            yield f"http://127.0.0.1:{port}"
        finally:
            tunnel.kill()


def test_a_search_outlives_its_hosts(laptop: Laptop, hosts: Hosts) -> None:
    laptop.run(f"ray rsync-up {LOCAL} endless.yaml '~/endless.yaml'")
    typed = laptop.leave(f"ray exec {LOCAL} 'tunebox search endless.yaml --name faulty'")
    search = RunningSearch(hosts.shared / "results" / "faulty", typed)
    try:
        search.wait_for_reports_from("host-1", "host-2", "host-3")
        hosts.kill(3)
        wait_for_nodes(hosts, hosts.addresses[:2])
        hosts.boot(3)
        search.wait_for_reports_from("host-3")
        hosts.partition(2)
        wait_for_nodes(hosts, [hosts.address(1), hosts.address(3)])
        hosts.heal(2)
        search.wait_for_reports_from("host-2")
        hosts.run(1, "pkill", "-INT", "-f", "bin/tunebox search")
        typed.wait(240)
    finally:
        typed.end()
    assert "files   /mnt/tunebox/results/faulty" in typed.printed
    with mlflow_of(hosts) as tracking_uri:
        check_records(search.folder, tracking_uri, "KILLED")
    states = [event["state"] for event in search.events() if event["event"] == "ended"]
    assert "failed" not in states
    assert "finished" in states
    moved = trials_on_more_than_one_node(search.events())
    assert moved, "no trial went on elsewhere"


def trials_on_more_than_one_node(events: list[dict[str, Any]]) -> set[str]:
    nodes: dict[str, set[str]] = {}
    for event in events:
        if event["event"] == "reported":
            nodes.setdefault(event["trial"], set()).add(event["node"])
    return {trial for trial, where in nodes.items() if len(where) > 1}


def test_up_again_changes_nothing_that_runs(laptop: Laptop, hosts: Hosts) -> None:
    mlflow = hosts.run(1, "pgrep", "-f", "mlflow server").stdout
    assert mlflow
    laptop.run(f"ray up -y --no-restart {LOCAL}")
    assert hosts.run(1, "pgrep", "-f", "mlflow server").stdout == mlflow
    wait_for_nodes(hosts, hosts.addresses)


def test_all_is_well(laptop: Laptop) -> None:
    printed = laptop.type("tunebox doctor --cluster deploy/cluster.local.yaml")
    check_doctor(printed, "host-1", "host-2", "host-3")


def test_a_search_started_from_the_laptop_is_downloaded(laptop: Laptop) -> None:
    (laptop.checkout / "my_search.yaml").write_text(SEARCH_FILE, encoding="utf-8")
    laptop.type("tunebox search my_search.yaml --cluster deploy/cluster.local.yaml --name mine")
    check_tables(laptop.checkout / "results/mine")


def test_down_ends_ray_on_the_head(laptop: Laptop, hosts: Hosts) -> None:
    laptop.type("""ray exec deploy/cluster.local.yaml 'pkill -f "[m]lflow server"'""")
    wait_until(lambda: not hosts.run(1, "pgrep", "-f", "mlflow server").stdout, "its end", 60)
    laptop.type("ray down -y deploy/cluster.local.yaml")
    assert hosts.run(1, "pgrep", "raylet").stdout == ""
