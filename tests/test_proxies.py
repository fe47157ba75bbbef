"""What runs on this machine is reached without a proxy, and the rest as the user wants it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.recording_server import recording_server
from tunebox.proxies import reach_this_machine_directly

GIVEN = "127.0.0.1,localhost,::1,0.0.0.0,127.0.0.0/8"  # where the first one was given
HERE = "localhost,127.0.0.1,::1,0.0.0.0,127.0.0.0/8"


@pytest.mark.parametrize(
    ("environment", "no_proxy", "in_capitals"),
    [
        ({"http_proxy": "http://p:1"}, HERE, HERE),
        ({"HTTPS_PROXY": "http://p:1"}, HERE, HERE),
        (
            {"http_proxy": "x", "no_proxy": "a.org, .b.org"},
            f"a.org,.b.org,{HERE}",
            f"a.org,.b.org,{HERE}",
        ),
        ({"http_proxy": "x", "NO_PROXY": "a.org"}, f"a.org,{HERE}", f"a.org,{HERE}"),
        ({"http_proxy": "x", "no_proxy": "a", "NO_PROXY": "b"}, f"a,{HERE}", f"b,{HERE}"),
        ({"http_proxy": "x", "no_proxy": "127.0.0.1"}, GIVEN, GIVEN),
        ({"http_proxy": "x", "no_proxy": "*"}, "*", "*"),
        ({"http_proxy": ""}, None, None),
        ({"no_proxy": "a.org"}, "a.org", None),  # names no proxy
        ({}, None, None),
    ],
    ids=str,
)
def test_what_the_user_has_is_kept(
    environment: dict[str, str], no_proxy: str | None, in_capitals: str | None
) -> None:
    reach_this_machine_directly(environment)
    assert environment.get("no_proxy") == no_proxy
    assert environment.get("NO_PROXY") == in_capitals
    once = dict(environment)
    reach_this_machine_directly(environment)
    assert environment == once


def test_what_grpc_reads_instead_is_added_to_where_it_is_set() -> None:
    environment = {"grpc_proxy": "x", "no_grpc_proxy": "a.org"}
    reach_this_machine_directly(environment)
    assert environment["no_grpc_proxy"] == f"a.org,{HERE}"
    without = {"grpc_proxy": "x"}
    reach_this_machine_directly(without)
    assert "no_grpc_proxy" not in without  # it would hide no_proxy


CALLS = """
import subprocess, sys
from contextlib import contextmanager
from tests.remote.here import HereHead
from tunebox.errors import ClusterError
from tunebox.remote.head import Tunnel
from tunebox.remote.jobs import Jobs
from tunebox.tracking.reasons import store_trouble

port = int(sys.argv[1])

class Head(HereHead):
    @contextmanager
    def tunnel(self, *_, **__):
        with subprocess.Popen(["sleep", "1"], text=True) as process:
            yield Tunnel(port, process)

here = (f"127.0.0.1:{port}/one", f"localhost:{port}/two", f"0.0.0.0:{port}/three")
for uri in (*here, "far.example/x"):
    uri = f"http://{uri}"
    print(store_trouble(uri))
try:
    Jobs(Head()).find("s-1")
except ClusterError as error:
    print(error)
"""


@pytest.mark.slow
def test_nothing_for_this_machine_goes_through_the_proxy() -> None:
    with recording_server() as here, recording_server(403) as proxy:
        others = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        done = subprocess.run(
            [sys.executable, "-c", CALLS, str(here.port)],
            env={**others, **proxy.as_proxy},
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        )
    one, two, three, far, job = done.stdout.splitlines()
    api = "/api/2.0/mlflow/experiments/search"
    assert here.asked[:3] == [f"POST /{name}{api}" for name in ("one", "two", "three")]
    assert set(here.asked[3:]) == {"GET /api/version"}
    assert proxy.asked == [f"POST http://far.example/x{api}"]
    assert one == two == three == "404 Not Found: MLflow is not at this address; check its path"
    assert far.startswith(
        f"the proxy {proxy.uri}, or what is behind it, says 403 Forbidden: if far"
    )
    assert job.startswith("Ray on here refuses the job: ")
