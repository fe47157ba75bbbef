from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.remote.here import HereHead
from tunebox import __version__
from tunebox.errors import ClusterError
from tunebox.records.lock import _started
from tunebox.remote.remote_search import RemoteSearch, option_arguments, read_storage


def make_head(folder: Path, version: str | None, **variables: str) -> HereHead:
    """A head with a tunebox of that version, whose profile prints something on the way."""
    if version is not None:
        command = folder / "tunebox"
        command.write_text(f"#!/bin/sh\necho welcome\necho {version}\n")
        command.chmod(0o755)
    return HereHead(environment={"PATH": f"{folder}:/usr/bin:/bin", **variables})


def test_what_the_profile_says_and_the_searches(tmp_path: Path) -> None:
    out = tmp_path / "results with spaces"
    (out / "digits-1").mkdir(parents=True)
    variables = {"TUNEBOX_OUT": f"{out}/", "MLFLOW_TRACKING_URI": "http://127.0.0.1:5000"}
    storage = read_storage(make_head(tmp_path, f"tunebox {__version__}", **variables))
    assert (storage.out, storage.tracking_uri) == (str(out), "http://127.0.0.1:5000")
    assert storage.names == ["digits-1"]
    assert storage.search("digits-1").folder == str(out / "digits-1")


def test_a_folder_that_is_not_there_yet_has_no_searches(tmp_path: Path) -> None:
    out = str(tmp_path / "absent")
    storage = read_storage(make_head(tmp_path, f"tunebox {__version__}", TUNEBOX_OUT=out))
    assert (storage.out, storage.tracking_uri, storage.names) == (out, "", [])


@pytest.mark.parametrize(
    ("version", "variables", "message"),
    [
        (None, {}, r"no tunebox on the head here \(sh: .*not found\); install it there"),
        ("tunebox 0.0.1", {}, f"here has tunebox 0.0.1 and this machine {__version__}: install"),
        (f"tunebox {__version__}", {}, "TUNEBOX_OUT is '' on the head here; let it name a folder"),
        (f"tunebox {__version__}", {"TUNEBOX_OUT": "results"}, "TUNEBOX_OUT is 'results' on"),
    ],
)
def test_a_head_that_cannot_search_is_one_line(
    tmp_path: Path, version: str | None, variables: dict[str, str], message: str
) -> None:
    head = make_head(tmp_path, version, **variables)
    with pytest.raises(ClusterError, match=message) as caught:
        read_storage(head)
    assert "\n" not in str(caught.value)


@pytest.fixture
def search(tmp_path: Path) -> RemoteSearch:
    return RemoteSearch(HereHead(), "s", str(tmp_path / "s"))


def begin(search: RemoteSearch, pid: int, *, lock: bool = True, journal: bool = True) -> None:
    folder = Path(search.folder)
    folder.mkdir()
    if lock:
        mark = {"format": 1, "host": "h", "pid": pid, "started": _started(pid), "beat": 3}
        (folder / "lock").write_text(json.dumps(mark))
    if journal:
        event = {"event": "search_started", "host": "h", "pid": pid, "tunebox": __version__}
        (folder / "journal.jsonl").write_text(f'{{"format": 1}}\n{json.dumps(event)}\n')


def test_the_process_that_runs_a_search(search: RemoteSearch) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as driver:
        assert search.driver() is None
        begin(search, driver.pid)
        assert search.driver() == driver.pid
        driver.kill()
    assert search.driver() is None


@pytest.mark.parametrize("missing", ["lock", "journal"])
def test_a_search_that_has_not_begun_has_no_process(search: RemoteSearch, missing: str) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as driver:
        begin(search, driver.pid, **{missing: False})
        assert search.driver() is None
        driver.kill()


def test_a_run_that_was_killed_is_not_the_one_that_goes_on(search: RemoteSearch) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as driver:
        begin(search, driver.pid, lock=False)
        # the next one has the lock, and has not written to the journal
        (Path(search.folder) / "lock").write_text(
            json.dumps({"pid": os.getpid(), "started": _started(os.getpid())})
        )
        assert search.driver() is None
        driver.kill()


def test_another_process_with_the_number_of_the_one_that_is_gone(search: RemoteSearch) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        begin(search, other.pid)
        lock = Path(search.folder) / "lock"
        mark = json.loads(lock.read_text())
        lock.write_text(json.dumps({**mark, "started": mark["started"] - 1}))
        assert search.driver() is None
        other.kill()


def test_files_of_a_search(search: RemoteSearch) -> None:
    assert search.read("journal.jsonl") is None
    assert not search.has("journal.jsonl")
    begin(search, 1)
    assert search.has("journal.jsonl")
    whole = search.read("journal.jsonl")
    assert whole == (Path(search.folder) / "journal.jsonl").read_text()
    assert search.read("journal.jsonl", lines=1) == '{"format": 1}\n'


def test_options_are_words_again() -> None:
    options = {"max_epochs": 9, "time_budget": 0.5, "warm_start": ["a-1", "b-1"], "seed": None}
    assert option_arguments(options) == [
        *("--max-epochs=9", "--time-budget=0.5", "--warm-start=a-1", "--warm-start=b-1"),
    ]
