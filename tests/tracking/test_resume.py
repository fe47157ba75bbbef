"""A search that goes on in another process: the same runs, nothing lost, nothing double."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command_line import trial_name
from tests.faults.check_records import check_records, child_runs, parent_run
from tests.records.made_search import MadeSearch
from tests.tracking.recorder import Recorder
from tunebox.decisions.events import Ended, Observer
from tunebox.decisions.trials import TrialState
from tunebox.records.search_folder import SearchFolder, create_folder

MakeStore = Callable[[Path], str]
BEFORE = 40  # steps until the process dies


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    return create_folder(tmp_path / "out", "made-1")


def interrupted_search(folder: SearchFolder, uri: str) -> None:
    """Record a search that dies after `BEFORE` steps with some runs made and others not."""
    search = MadeSearch(8)
    recorder = Recorder(folder, uri, search.log)
    recorder.search_started()
    search.run(recorder, 10)
    recorder.wait_until_sent()
    search.run(recorder, BEFORE - 10)
    recorder.die()


def run_ids(folder: SearchFolder, uri: str) -> dict[str, str]:
    ids = {trial_name(run): run.info.run_id for run in child_runs(folder.root, uri)}
    return {**ids, "parent": parent_run(folder.root, uri).info.run_id}


def as_it_is(path: Path) -> None:
    """Change nothing."""


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def without_the_beginning(path: Path) -> None:
    path.write_bytes(b"\0" * 100 + path.read_bytes()[100:])


def left_by_version_0_1_0(path: Path) -> None:
    """Write what that version notes in place of what this one does."""
    names = ("search_id", "tracking_uri", "parent_run_id")
    noted = {name: json.loads(path.read_bytes())[name] for name in names}
    path.write_text(json.dumps({"format": 1, **noted}, indent=2), encoding="utf-8")


QUIET = (as_it_is, left_by_version_0_1_0)  # nothing is damaged


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [*QUIET, cut_short, without_the_beginning, Path.unlink],
)
def test_the_same_runs_go_on(
    folder: SearchFolder, make_store: MakeStore, damage: Callable[[Path], None]
) -> None:
    uri = make_store(folder.root.parent)
    interrupted_search(folder, uri)
    before = run_ids(folder, uri)
    assert 2 <= len(before) < 9
    damage(folder.mlflow)

    search = MadeSearch(8)
    search.run(Observer(), BEFORE)  # what the search itself wrote down
    recorder = Recorder(folder, uri, search.log)
    recorder.search_started()
    search.run(recorder)
    recorder.search_ended(interrupted=False)
    assert len(recorder.warnings) == (0 if damage in QUIET else 1)
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
    search.run(Observer(), BEFORE - 15)
    for coming in search.waiting:  # what is trained again comes out differently
        coming.reports = [
            replace(report, metrics={name: value / 2 for name, value in report.metrics.items()})
            for report in coming.reports
        ]
    recorder = Recorder(folder, uri, search.log)
    recorder.search_started()
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
    search = MadeSearch(8)
    recorder = Recorder(folder, uri, search.log)
    recorder.search_started()
    search.run(recorder, BEFORE)
    running = [t for t in search.log.trials.values() if t.state is TrialState.RUNNING]
    assert running
    for trial in running:  # as Ctrl-C does
        trial.state, trial.end_time = TrialState.INTERRUPTED, 1_700_000_500.0
        recorder.on(Ended(trial.trial_id, trial.state, None, trial.end_time))
    recorder.search_ended(interrupted=True)
    check_records(folder.root, uri, status="KILLED")
    before = run_ids(folder, uri)

    damage(folder.mlflow)
    for trial in running:
        trial.state, trial.end_time = TrialState.RUNNING, None
    recorder = Recorder(folder, uri, search.log)
    recorder.search_started()
    search.run(recorder)
    recorder.search_ended(interrupted=False)
    assert len(recorder.warnings) == (0 if damage is as_it_is else 1)
    check_records(folder.root, uri)
    assert before.items() <= run_ids(folder, uri).items()

    recorder = Recorder(folder, uri, search.log)  # and once more, with nothing left to do
    recorder.search_started()
    recorder.search_ended(interrupted=False)
    check_records(folder.root, uri)
    assert recorder.mlflow.delivery.num_delivered < 20
