"""The hosts of the cluster tests: each is a machine of its own, and none stays behind."""

import json
import subprocess
import sys
from pathlib import Path

from tests.remote.hosts import SHARED_FOLDER, Hosts


def over_ssh(hosts: Hosts, number: int, command: str) -> subprocess.CompletedProcess[str]:
    start, target = hosts.ssh(number)[:-1], hosts.ssh(number)[-1]
    return subprocess.run(
        [*start, "-o", "ConnectTimeout=2", target, command],
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_has_a_name_processes_and_a_disk_of_its_own(hosts: Hosts) -> None:
    for number in (3, 1, 2):
        hosts.run(number, "touch", f"/var/of-{number}")
        assert over_ssh(hosts, number, "hostname").stdout == f"host-{number}\n"
        assert over_ssh(hosts, number, "ls -d /var/of-*").stdout == f"/var/of-{number}\n"
        assert not Path(f"/var/of-{number}").exists()
        assert len(hosts.run(number, "ps", "-e", "-o", "pid=").stdout.split()) < 10
    assert hosts.addresses == [f"{hosts.subnet}.{last}" for last in (11, 12, 13)]


def test_all_see_the_shared_folder(hosts: Hosts) -> None:
    over_ssh(hosts, 2, f"echo hello > {SHARED_FOLDER}/letter")
    assert over_ssh(hosts, 3, f"cat {SHARED_FOLDER}/letter").stdout == "hello\n"
    assert (hosts.shared / "letter").read_text() == "hello\n"


def test_a_host_comes_back_with_its_disk_and_without_its_processes(hosts: Hosts) -> None:
    hosts.run(2, "sh", "-c", "touch /var/kept /tmp/lost; sleep 1000 >/dev/null 2>&1 &")
    assert "sleep" in hosts.run(2, "ps", "-e").stdout
    hosts.kill(2)
    assert over_ssh(hosts, 2, "true").returncode == 255
    hosts.boot(2)
    assert over_ssh(hosts, 2, "ls /var/kept /tmp").stdout == "/var/kept\n\n/tmp:\n"
    assert "sleep" not in hosts.run(2, "ps", "-e").stdout


def test_a_host_that_is_cut_off_goes_on(hosts: Hosts) -> None:
    hosts.partition(3)
    assert over_ssh(hosts, 3, "true").returncode == 255
    assert hosts.run(3, "hostname").stdout == "host-3\n"
    hosts.heal(3)
    assert over_ssh(hosts, 3, "hostname").stdout == "host-3\n"


LEFT = """
import json, os
from tests.remote.hosts import Hosts
hosts = Hosts()
hosts.up(1)
print(json.dumps([hosts.subnet, str(hosts.folder)]), flush=True)
os.kill(os.getpid(), 9)
"""


def test_what_a_crashed_run_leaves_is_removed_by_the_next(can_make_hosts: None) -> None:
    died = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, text=True, check=False)
    subnet, folder = json.loads(died.stdout)
    assert Path(folder).is_mount()
    hosts = Hosts()
    try:
        assert hosts.subnet == subnet
        assert not Path(folder).exists()
        assert f"tb{subnet}" not in subprocess.check_output(["ip", "netns"], text=True)
        assert not Path(f"/sys/class/net/tb{subnet}").exists()
        hosts.up(1)
        assert hosts.run(1, "hostname").stdout == "host-1\n"
    finally:
        hosts.down()
    assert not Path(folder).exists()
