"""MLflow fails in every way it can, on the real server; nothing is lost and nothing is double."""

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command_line import SEARCH_FILE, run_tunebox, start_tunebox, succeed, trial_name
from tests.faults.check_records import check_records, check_weights, child_runs, parent_run
from tests.faults.faulty_proxy import Fault, FaultyProxy
from tests.faults.mlflow_server import MlflowServer
from tests.faults.search_process import SearchProcess, outcome, wait_until
from tests.records.made_search import MadeSearch
from tests.records.make_log import make_spec
from tests.tracking.recorder import Recorder, ended
from tunebox.decisions.events import Observer
from tunebox.records.run_end import read_run_end, write_run_end
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.tracking import delivery
from tunebox.tracking.sync import search_tracking_uri, sync_search

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[MlflowServer]:
    """One for all tests, as starting it takes seconds; it runs if a test before started it."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_store, folder / "mlflow.db")
    made = MlflowServer(folder)
    yield made
    made.kill()


@pytest.fixture
def running(server: MlflowServer) -> MlflowServer:
    """The server, answering."""
    if not server.is_running:
        server.start()
        server.wait()
    return server


@pytest.fixture
def proxy(running: MlflowServer) -> Iterator[FaultyProxy]:
    made = FaultyProxy(running.port)
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    # the name is unique: the tests share a server
    return create_folder(tmp_path / "out", tmp_path.name)


def test_a_server_that_comes_late_freezes_and_crashes(
    folder: SearchFolder, server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_LONGEST_PAUSE", 1.0)
    assert not server.is_running
    search = MadeSearch()
    recorder = Recorder(folder, server.uri, search.log)
    recorder.search_started()
    search.run(recorder, 40)
    server.start()
    server.wait()
    recorder.wait_until_sent(90)
    server.freeze()
    search.run(recorder, 40)
    time.sleep(1)
    server.thaw()
    recorder.wait_until_sent(90)
    server.kill()
    search.run(recorder)
    server.start()
    server.wait()
    recorder.search_ended(interrupted=False)
    assert recorder.warnings == []
    check_records(folder.root, server.uri)


@pytest.mark.parametrize(
    ("fault", "share"), [("error", 0.3), ("lost answer", 0.3), ("late answer", 0.1)]
)
def test_calls_that_fail_at_random(
    folder: SearchFolder,
    proxy: FaultyProxy,
    running: MlflowServer,
    fault: Fault,
    share: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(delivery, "_SEND_PAUSE", 0.05)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")  # what is set by a person wins
    proxy.faults, proxy.share = (fault,), share
    search = MadeSearch(12)
    recorder = Recorder(folder, proxy.uri, search.log)
    recorder.search_started()
    search.run(recorder)
    recorder.search_ended(interrupted=False)
    assert recorder.warnings == []
    assert proxy.counts[fault] >= 2
    check_records(folder.root, running.uri)


def test_a_call_that_the_server_has_still_to_carry_out_makes_the_one_run(
    folder: SearchFolder,
    proxy: FaultyProxy,
    running: MlflowServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "_FIRST_PAUSE", 0.01)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    search = MadeSearch(1)
    recorder = Recorder(folder, proxy.uri, search.log)
    recorder.search_started()
    recorder.wait_until_sent()
    proxy.faults, proxy.share = ("late request",), 1.0
    search.run(recorder, 1)
    wait_until(lambda: proxy.counts["late request"] > 0, "late request")
    proxy.share = 0.0
    recorder.wait_until_sent(90)
    wait_until(lambda: proxy.num_carried_out_late > 0, "run")
    recorder.search_ended(interrupted=False)
    assert recorder.warnings == []
    [run] = child_runs(folder.root, running.uri)
    assert run.info.run_id == recorder.mlflow.delivery.runs["t000"].run_id


def test_a_slow_server_costs_the_search_no_time(
    folder: SearchFolder,
    proxy: FaultyProxy,
    running: MlflowServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "END_SECONDS", 3.0)
    proxy.delay = 2.0
    secret_uri = proxy.uri.replace("//", "//me:open-sesame@")
    search = MadeSearch(12)
    recorder = Recorder(folder, secret_uri, search.log)
    start = time.monotonic()
    recorder.search_started()
    search.run(recorder)
    assert time.monotonic() - start < 5  # a single trial alone takes the server longer
    start = time.monotonic()
    recorder.search_ended(interrupted=False)
    assert time.monotonic() - start < 10  # with the drawing of the front
    write_run_end(folder.run_end, ended())
    [warning] = recorder.warnings
    assert re.search(
        r"lacks (up to )?\d+ updates of 12 trials \(it is slow\); deliver them ", warning
    )
    assert f"tunebox sync {folder.name} --out {folder.root.parent}" in warning
    proxy.delay = 0.0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", secret_uri)  # user and password are not in the folder
    end = read_run_end(folder.run_end)
    uri = search_tracking_uri(folder, None)
    result = sync_search(folder, make_spec(), search.log, end, uri)
    assert (result.num_waiting, result.refusals) == (0, [])
    assert proxy.authorizations == {"Basic bWU6b3Blbi1zZXNhbWU="}  # me:open-sesame
    check_records(folder.root, running.uri)


DRIVER = """
import os, signal, sys, time
from pathlib import Path
from tests.records.made_search import MadeSearch
from tests.tracking.recorder import Recorder
from tunebox.records.search_folder import SearchFolder

root, uri, first, then = sys.argv[1:]
search = MadeSearch(12)
recorder = Recorder(SearchFolder(Path(root)), uri, search.log)
recorder.search_started()
search.run(recorder, int(first))
while "t002" not in recorder.mlflow.delivery.runs:  # some runs are made, others are not
    time.sleep(0.001)
search.run(recorder, int(then))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_driver_goes_on_with_the_same_runs(
    folder: SearchFolder, proxy: FaultyProxy, running: MlflowServer
) -> None:
    proxy.delay = 0.1
    driver = [sys.executable, "-c", DRIVER, str(folder.root), proxy.uri, "30", "20"]
    assert subprocess.run(driver, check=False).returncode == -signal.SIGKILL
    before = {trial_name(run): run.info.run_id for run in child_runs(folder.root, running.uri)}
    parent = parent_run(folder.root, running.uri).info.run_id
    assert "t002" in before
    search = MadeSearch(12)
    search.run(Observer(), 30 + 20)  # what the search wrote down itself
    recorder = Recorder(folder, proxy.uri, search.log)
    recorder.search_started()
    search.run(recorder)
    recorder.search_ended(interrupted=False)
    assert recorder.warnings == []
    check_records(folder.root, running.uri)
    after = {trial_name(run): run.info.run_id for run in child_runs(folder.root, running.uri)}
    assert before.items() <= after.items()
    assert parent_run(folder.root, running.uri).info.run_id == parent


def test_a_search_whose_server_dies_for_good_is_synced(
    tmp_path: Path, running: MlflowServer
) -> None:
    server = running
    (tmp_path / "methods.yaml").write_text(SEARCH_FILE, encoding="utf-8")
    secret_uri = server.uri.replace("//", "//me:open-sesame@")
    options = ("--out", "out", "--address", "none", "--tracking-uri", secret_uri)
    with start_tunebox("search", "methods.yaml", *options, cwd=tmp_path) as process:
        kill_when(server, lambda: is_reported(tmp_path / "out" / "methods-1"))
        printed, errors = process.communicate(timeout=200)
    assert process.returncode == 0, printed + errors
    assert "tunebox sync methods-1 --out out" in printed
    away = run_tunebox("sync", "methods-1", "--out", "out", cwd=tmp_path)
    assert away.returncode == 1
    assert f"error: MLflow at {server.uri} still lacks" in away.stderr
    assert "Traceback" not in away.stderr
    server.start()
    server.wait()
    synced = succeed("sync", "methods-1", "--out", "out", cwd=tmp_path)
    assert f"updates to MLflow at {server.uri}" in synced
    root = tmp_path / "out" / "methods-1"
    check_records(root, server.uri)
    for text in (printed, errors, away.stdout, away.stderr, synced):
        assert "open-sesame" not in text
    assert files_with(b"open-sesame", tmp_path) + files_with(b"open-sesame", server.folder) == []


def test_a_search_whose_server_fails_in_all_ways_ends_as_if_undisturbed(
    tmp_path: Path,
    ray_address: str,
    proxy: FaultyProxy,
    running: MlflowServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server is started late, answers with errors, too late or not at all, and is gone 20 s."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    running.kill()
    search, twin = (slow_search(tmp_path / name, ray_address) for name in ("search", "twin"))
    search.tracking_uri = proxy.uri
    for one in (search, twin):  # at the same time: nothing happens to the twin
        one.start()
    late, failing, silent, gone = sorted(random.Random(10).sample(range(1, 25), 4))
    await_report(search, late)
    running.start()
    wait_until(lambda: is_reported(search.folder), "delivery")
    await_report(search, failing)
    disturb(proxy, ("error",), 3)
    await_report(search, silent)
    disturb(proxy, ("late answer", "lost answer"), 3)
    await_report(search, gone)
    running.kill()
    time.sleep(20)
    running.start()
    code, stdout, stderr = search.finish()
    assert code == 0, stdout + stderr
    assert "Traceback" not in stdout + stderr
    assert twin.finish()[0] == 0
    running.wait()
    synced = succeed("sync", search.folder.name, "--out", search.out, cwd=search.home)
    assert "refused" not in stdout + synced
    check_records(search.folder, running.uri)
    check_weights(search.folder)
    assert outcome(search.folder) == outcome(twin.folder)


def slow_search(home: Path, ray_address: str) -> SearchProcess:
    """Return a search whose epochs last a second or two."""
    home.mkdir()
    made = SearchProcess(home, "--address", ray_address)
    text = made.search_file.read_text(encoding="utf-8")
    made.search_file.write_text(text.replace("num_draws: 300", "num_draws: 2000"), encoding="utf-8")
    return made


def await_report(search: SearchProcess, number: int) -> None:
    """Wait for a moment of a search that has not ended."""
    search.wait_for("reported", number)
    assert search.process is not None
    assert search.process.poll() is None


def disturb(proxy: FaultyProxy, faults: tuple[Fault, ...], count: int) -> None:
    """Let every other request meet one of ``faults`` until ``count`` have met each of them."""
    proxy.faults, proxy.share = faults, 0.5
    wait_until(lambda: all(proxy.counts[fault] >= count for fault in faults), f"{faults}")
    proxy.faults = ()


def is_reported(root: Path) -> bool:
    cursor = root / "mlflow.json"
    return cursor.is_file() and json.loads(cursor.read_bytes())["parent_run_id"] is not None


def kill_when(server: MlflowServer, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    server.kill()


def files_with(text: bytes, folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]
