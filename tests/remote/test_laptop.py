"""Searches from a laptop on three hosts: disconnected, left, stopped and downloaded."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient

from tests.command_line import SEARCH_FILE, free_port, trial_name
from tests.faults.check_records import check_records
from tests.faults.search_process import wait_until
from tests.parts.own_code import write_own
from tests.remote.hosts import Hosts
from tests.remote.laptop import LOCAL, Laptop, bring_up_local, end
from tunebox.tracking.stores import front_filter

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]

ENDLESS = SEARCH_FILE.replace("trials: 12", "trials: 1000").replace("epochs: 6", "epochs: 24")
CUT_SECONDS = 15.0
NODES = {"host-1", "host-2", "host-3"}


@pytest.fixture(scope="module")
def laptop(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """A laptop that has brought the cluster up."""
    laptop = bring_up_local(tmp_path_factory.mktemp("laptop"), hosts)
    (laptop.checkout / "short.yaml").write_text(SEARCH_FILE, encoding="utf-8")
    (laptop.checkout / "endless.yaml").write_text(ENDLESS, encoding="utf-8")
    return laptop


class Watched:
    """A command line on the laptop, and the search on the cluster that it shows."""

    def __init__(self, laptop: Laptop, hosts: Hosts, name: str, command: str) -> None:
        self.home = laptop.checkout / "results" / name
        self.there = hosts.shared / "results" / name
        self.output = laptop.checkout / f"{name}.log"
        with self.output.open("ab") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=laptop.checkout,
                env=laptop.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def events(self) -> list[dict[str, object]]:
        journal = self.there / "journal.jsonl"
        lines = journal.read_bytes().splitlines(keepends=True) if journal.exists() else []
        return [json.loads(line) for line in lines[1:] if line.endswith(b"\n")]

    def wait_for_reports_from(self, nodes: set[str]) -> None:
        """Wait until each of ``nodes`` has reported after now."""
        seen = len(self.events())
        wait_until(lambda: {e.get("node") for e in self.events()[seen:]} >= nodes, str(nodes), 400)

    def wait_for_words(self, words: str) -> None:
        wait_until(lambda: words in self.printed, words, 120)

    @property
    def printed(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def finish(self) -> int:
        return self.process.wait(timeout=240)


@contextmanager
def watching(laptop: Laptop, hosts: Hosts, name: str, command: str) -> Iterator[Watched]:
    watched = Watched(laptop, hosts, name, command)
    try:
        yield watched
    finally:
        if watched.process.poll() is None:
            os.killpg(watched.process.pid, signal.SIGKILL)
            watched.process.wait()


@contextmanager
def cut_off(address: str) -> Iterator[None]:
    """Let nothing of what this machine sends to a host arrive; the hosts see each other."""
    subprocess.run(["ip", "route", "add", "blackhole", f"{address}/32"], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "route", "del", "blackhole", f"{address}/32"], check=True)


def trial_ids(folder: Path, table: str) -> list[str]:
    ids: list[str] = pq.read_table(folder / f"{table}.parquet")["trial_id"].to_pylist()
    return ids


def test_dashboard_and_mlflow_listen_on_the_head_alone(laptop: Laptop, hosts: Hosts) -> None:
    sockets = hosts.run(1, "ss", "-Hltn").stdout.splitlines()
    listening = [tuple(line.split()[3].rsplit(":", 1)) for line in sockets]
    for port in ("5000", "8265"):
        assert {address for address, its in listening if its == port} == {"127.0.0.1"}


def test_a_search_survives_a_lost_connection_and_is_downloaded(
    laptop: Laptop, hosts: Hosts
) -> None:
    command = f"tunebox search endless.yaml --name cut --cluster {LOCAL}"
    with watching(laptop, hosts, "cut", command) as search:
        search.wait_for_reports_from(NODES)
        search.wait_for_words("cut: running 3")
        with cut_off(hosts.address(1)):
            began, before = time.monotonic(), len(search.events())
            search.wait_for_words("connection lost; the cluster goes on")
            wait_until(lambda: time.monotonic() - began >= CUT_SECONDS, "end of the cut")
            assert len(search.events()) > before
        assert time.monotonic() - began >= CUT_SECONDS
        search.wait_for_words("connected again after")
        printed = laptop.run(f"tunebox stop cut --cluster {LOCAL}")
        resume = f"tunebox search --resume cut --cluster {LOCAL}"
        assert printed == f"cut has ended; continue it with: {resume}\n"
        assert search.finish() == 130
    assert "\nended   " in search.printed
    assert f"        {resume}    # goes on" in search.printed
    check_home(laptop, search)
    check_front_was_shown(laptop, search)


def check_home(laptop: Laptop, search: Watched) -> None:
    """What is at home is what is on the cluster, and its front can be used."""
    for name in ("journal.jsonl", "trials.parquet", "history.parquet", "front.png", "search.yaml"):
        assert (search.home / name).read_bytes() == (search.there / name).read_bytes()
    assert not list(search.home.glob("mlflow*")) + list(search.home.glob("lock"))
    planned = [event["trial"] for event in search.events() if event["event"] == "planned"]
    trials, front = trial_ids(search.home, "trials"), trial_ids(search.home, "front")
    assert len(set(trials)) == len(trials)
    assert set(front) <= set(trials) <= set(planned)
    assert {path.name for path in (search.home / "checkpoints").iterdir()} == set(front)
    target = Path(tempfile.mkdtemp(dir=laptop.checkout)) / "exported"
    laptop.run(f"tunebox export {search.home.name} --to {target}")
    assert {path.parent.name for path in target.glob("*/model.safetensors")} == set(front)


def check_front_was_shown(laptop: Laptop, search: Watched) -> None:
    title = laptop.run(f"tunebox front {search.home.name}").splitlines()[0]
    assert title in search.printed


def test_the_front_is_in_the_pages_of_the_head(laptop: Laptop, hosts: Hosts) -> None:
    port = free_port()
    command = f"tunebox ui --cluster {LOCAL} --port {port}"
    with watching(laptop, hosts, "ui", command) as pages:
        pages.wait_for_words("or filter runs by")
        assert f"MLflow at http://127.0.0.1:{port}" in pages.printed
        [experiment] = re.findall(r"/#/experiments/(\d+)/runs\?", pages.printed)
        client = MlflowClient(tracking_uri=f"http://127.0.0.1:{port}")
        runs = client.search_runs([experiment], front_filter)
        # every trial once, as in the tables of the cluster
        check_records(hosts.shared / "results" / "cut", f"http://127.0.0.1:{port}", "KILLED")
        pages.process.send_signal(signal.SIGINT)
        assert pages.finish() == 0
    front = trial_ids(hosts.shared / "results" / "cut", "front")
    assert {trial_name(run) for run in runs} == set(front)
    assert front


def test_a_search_is_left_watched_again_stopped_and_resumed(laptop: Laptop, hosts: Hosts) -> None:
    command = f"tunebox search endless.yaml --cluster {LOCAL}"
    with watching(laptop, hosts, "endless-1", command) as search:
        search.wait_for_reports_from({"host-1"})
        search.process.send_signal(signal.SIGINT)
        assert search.finish() == 130
    again = f"tunebox attach endless-1 --cluster {LOCAL}"
    assert search.printed.endswith(f"endless-1 keeps running; watch it with: {again}\n")
    assert not search.home.exists()
    attach_and_stop(laptop, again, search)
    check_home(laptop, search)
    before = trial_ids(search.home, "trials")

    resume = f"tunebox search --resume endless-1 --time-budget 10 --cluster {LOCAL}"
    with watching(laptop, hosts, "endless-1", resume) as search:
        assert search.finish() == 0
    check_home(laptop, search)
    check_front_was_shown(laptop, search)
    after = trial_ids(search.home, "trials")
    assert after[: len(before)] == before
    ended = search.printed[search.printed.rindex("Front of endless-1") :]
    assert ended in laptop.run(again)  # it has ended: shown and downloaded once more


def test_code_that_is_on_the_laptop_alone_runs_on_all_hosts(laptop: Laptop, hosts: Hosts) -> None:
    write_own(laptop.checkout / "mine")
    printed = laptop.run(f"tunebox search mine/camera.yaml --name own --cluster {LOCAL}")
    assert "Front of own" in printed
    home = laptop.checkout / "results" / "own"
    assert len(trial_ids(home, "trials")) == 4
    assert (home / "code" / "parts.py").is_file()
    there = pq.read_table(home / "trials.parquet")
    assert set(there["state"].to_pylist()) <= {"finished", "stopped"}


def attach_and_stop(laptop: Laptop, command: str, search: Watched) -> None:
    """Watch the search on a terminal, press Ctrl-C and answer that it is to be stopped."""
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=laptop.checkout,
        env={**laptop.environment, "TERM": "xterm"},
        stdin=inside,
        stdout=inside,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    os.close(inside)
    shown = b""
    try:
        shown += read_until(terminal, b"/1000 trials")
        process.send_signal(signal.SIGINT)
        shown += read_until(terminal, b"leave the search running or stop it? [L/s]")
        os.write(terminal, b"s\n")
        shown += read_until(terminal, b"# goes on")
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
        os.close(terminal)


def read_until(terminal: int, words: bytes) -> bytes:
    shown = b""
    deadline = time.monotonic() + 120
    while words not in shown:
        assert time.monotonic() < deadline, shown
        try:
            shown += os.read(terminal, 4096)
        except OSError as error:  # the command has ended
            raise AssertionError(shown.decode()) from error
    return shown


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("attach absent", "no search 'absent' on the cluster; it has cut"),
        ("stop cut", "cut does not run: nothing to stop"),
        ("search short.yaml --name cut", "cut is on the cluster already; continue it (--resume"),
        ("search short.yaml --cpus-per-trial 6400", "--cpus-per-trial 6400: the largest node of"),
        ("search --resume cut --seed 9", "--seed 9: a search that is resumed keeps its seed=3"),
    ],
)
def test_a_mistake_is_one_line(laptop: Laptop, command: str, message: str) -> None:
    process = laptop.start(f"tunebox {command} --cluster {LOCAL} 2>&1 >/dev/null")
    try:
        printed, _ = process.communicate(timeout=240)
    finally:
        end(process)
    assert (process.returncode, len(printed.splitlines())) == (2, 1), printed
    assert printed.startswith(f"error: {message}")
