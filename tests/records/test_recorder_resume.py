"""A search that goes on in another process: the same runs, nothing lost, nothing double."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.check_records import check_records, child_runs, parent_run
from tests.records.made_search import MadeSearch
from tests.records.make_log import make_spec
from tunebox.records.mlflow_runs import MlflowRuns
from tunebox.records.recorder import SearchRecorder
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.trials import SearchObserver, TrialState

MakeStore = Callable[[Path], str]
BEFORE = 40  # steps until the process dies


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    return create_folder(tmp_path / "out", "made-1")


def make_recorder(folder: SearchFolder, uri: str) -> SearchRecorder:
    runs = MlflowRuns(uri, folder.root.parent, folder.mlflow_ids, folder.outbox)
    return SearchRecorder(folder, make_spec(), runs)


def die(recorder: SearchRecorder) -> None:
    """Let nothing more happen, and let go of the outbox, as a killed process does."""
    runs = recorder._runs
    assert runs is not None
    runs._delivery._gave_up = runs._delivery._closing = True
    thread = runs._delivery._thread
    assert thread is not None
    thread.join(30)
    runs._outbox.close()


def interrupted_search(folder: SearchFolder, uri: str) -> None:
    """Record a search that dies after `BEFORE` steps with some runs made and others not."""
    recorder, search = make_recorder(folder, uri), MadeSearch(8)
    recorder.search_started(search.log)
    search.run(recorder, 10)
    assert recorder._runs is not None
    while recorder._runs.num_waiting:
        time.sleep(0.01)
    search.run(recorder, BEFORE - 10)
    die(recorder)


def run_ids(folder: SearchFolder, uri: str) -> dict[str, str]:
    ids = {run.info.run_name: run.info.run_id for run in child_runs(folder.root, uri)}
    return {**ids, "parent": parent_run(folder.root, uri).info.run_id}


def as_it_is(path: Path) -> None:
    """Change nothing."""


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def without_the_beginning(path: Path) -> None:
    path.write_bytes(b"\0" * 100 + path.read_bytes()[100:])


def without_the_end(path: Path) -> None:
    """Leave what a full disk leaves: whole lines, and none of a run of a trial."""
    lines = path.read_bytes().splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if b'"creating": "t' in line)
    path.write_bytes(b"".join(lines[:first]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", [as_it_is, cut_short, without_the_beginning, without_the_end, Path.unlink]
)
def test_the_same_runs_go_on(
    folder: SearchFolder, make_store: MakeStore, damage: Callable[[Path], None]
) -> None:
    uri = make_store(folder.root.parent)
    interrupted_search(folder, uri)
    before = run_ids(folder, uri)
    assert 2 <= len(before) < 9
    damage(folder.outbox)

    search = MadeSearch(8)
    search.run(SearchObserver(), BEFORE)  # what the search itself wrote down
    recorder = make_recorder(folder, uri)
    recorder.search_started(search.log)
    search.run(recorder)
    recorder.search_ended(interrupted=False)
    assert len(recorder.warnings) == (0 if damage in (as_it_is, without_the_end) else 1)
    check_records(folder.root, uri)
    assert before.items() <= run_ids(folder, uri).items()


@pytest.mark.slow
def test_a_search_that_knows_less_than_it_told_writes_its_trials_again(
    folder: SearchFolder, make_store: MakeStore
) -> None:
    uri = make_store(folder.root.parent)
    interrupted_search(folder, uri)
    before = run_ids(folder, uri)
    search = MadeSearch(8)
    search.run(SearchObserver(), BEFORE - 15)
    for coming in search.waiting:  # what is trained again comes out differently
        coming.reports = [
            replace(report, metrics={name: value / 2 for name, value in report.metrics.items()})
            for report in coming.reports
        ]
    recorder = make_recorder(folder, uri)
    recorder.search_started(search.log)
    search.run(recorder)
    recorder.search_ended(interrupted=False)
    assert recorder.warnings == []
    check_records(folder.root, uri)
    after = run_ids(folder, uri)
    assert after["parent"] == before["parent"]


@pytest.mark.slow
@pytest.mark.parametrize("damage", [as_it_is, Path.unlink])
def test_an_interrupted_search_is_opened_again_and_extended(
    folder: SearchFolder, make_store: MakeStore, damage: Callable[[Path], None]
) -> None:
    uri = make_store(folder.root.parent)
    recorder, search = make_recorder(folder, uri), MadeSearch(8)
    recorder.search_started(search.log)
    search.run(recorder, BEFORE)
    running = [t for t in search.log.trials.values() if t.state is TrialState.RUNNING]
    assert running
    for trial in running:  # as Ctrl-C does
        trial.state, trial.end_time = TrialState.INTERRUPTED, 1_700_000_500.0
        recorder.trial_ended(trial)
    recorder.search_ended(interrupted=True)
    check_records(folder.root, uri, status="KILLED")
    before = run_ids(folder, uri)

    damage(folder.outbox)
    for trial in running:
        trial.state, trial.end_time = TrialState.RUNNING, None
    recorder = make_recorder(folder, uri)
    recorder.search_started(search.log)
    search.run(recorder)
    recorder.search_ended(interrupted=False)
    assert len(recorder.warnings) == (0 if damage is as_it_is else 1)
    check_records(folder.root, uri)
    assert before.items() <= run_ids(folder, uri).items()

    lines = folder.outbox.read_bytes().count(b"\n")
    recorder = make_recorder(folder, uri)  # and once more, with nothing left to do
    recorder.search_started(search.log)
    recorder.search_ended(interrupted=False)
    check_records(folder.root, uri)
    assert folder.outbox.read_bytes().count(b"\n") - lines < 20
