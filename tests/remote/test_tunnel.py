"""Tunnels to a host by real SSH."""

from __future__ import annotations

import subprocess
import sys

from tests.command_line import free_port
from tests.faults.search_process import wait_until
from tests.remote.hosts import Hosts
from tests.remote.laptop import listens

_OPEN = """
import sys
from pathlib import Path
from tunebox.remote.head import Head

head = Head("cluster.yaml", sys.argv[1], "root", (Path(sys.argv[2]),))
with head.tunnel(22, local_port=int(sys.argv[3])):
    print("open", flush=True)
    input()
"""


def test_a_tunnel_ends_with_the_process_that_opened_it(hosts: Hosts) -> None:
    port = free_port()
    arguments = [hosts.address(1), str(hosts.key), str(port)]
    with subprocess.Popen(
        [sys.executable, "-c", _OPEN, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        assert listens("127.0.0.1", port)
        process.kill()  # as a terminal that is closed, at its worst: nothing can be put in order
    wait_until(lambda: not listens("127.0.0.1", port), "end of the tunnel", 60)
