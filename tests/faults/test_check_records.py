"""The checker of the records finds what is wrong, and nothing in a search that went well."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from mlflow.tracking import MlflowClient

from tests.command_line import trial_name
from tests.conftest import RealSearch
from tests.faults.check_records import (
    check_front_in_mlflow,
    check_histories_in_mlflow,
    check_parent_in_mlflow,
    check_records,
    check_tables,
    check_trials_in_mlflow,
    check_weights,
    child_runs,
    parent_run,
)
from tests.records.made_search import MadeSearch
from tests.tracking.recorder import Recorder
from tunebox.decisions.trials import TrialState
from tunebox.records.search_folder import SearchFolder, create_folder

Check = Callable[[Path, str], None]
Change = Callable[[MlflowClient, str], object]

# A check, a change to the run of a finished trial that it must find, and what undoes the change.
CHANGES: list[tuple[Check, Change, Change]] = [
    (
        check_trials_in_mlflow,
        lambda client, run: client.set_terminated(run, "KILLED"),
        lambda client, run: client.set_terminated(run, "FINISHED"),
    ),
    (
        check_trials_in_mlflow,
        lambda client, run: client.set_tag(run, "tunebox.state", "running"),
        lambda client, run: client.set_tag(run, "tunebox.state", "finished"),
    ),
    (
        check_trials_in_mlflow,
        lambda client, run: client.delete_run(run),
        lambda client, run: client.restore_run(run),
    ),
    (
        check_front_in_mlflow,
        lambda client, run: client.set_tag(run, "tunebox.pareto", "true"),
        lambda client, run: client.delete_tag(run, "tunebox.pareto"),
    ),
    (
        check_histories_in_mlflow,
        lambda client, run: client.log_metric(run, "train_loss", 0.5, step=1),
        lambda client, run: None,
    ),
]


@pytest.mark.slow
@pytest.mark.timeout(400)  # the first test that needs the search waits for it
def test_nothing_is_wrong_with_a_search_that_went_well(real_search: RealSearch) -> None:
    check_records(real_search.folder.root, real_search.tracking_uri)
    check_weights(real_search.folder.root)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_what_is_wrong_with_weights_is_found(tmp_path: Path, real_search: RealSearch) -> None:
    folder = tmp_path / real_search.name
    shutil.copytree(real_search.folder.root, folder)
    check_weights(folder)
    path = next((folder / "checkpoints").rglob("*.pt"))
    content = torch.load(path, weights_only=True)
    content["state"]["epoch"] -= 1
    torch.save(content, path)
    with pytest.raises(AssertionError, match=path.parent.name):
        check_weights(folder)
    path.unlink()
    with pytest.raises(AssertionError):
        check_weights(folder)


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    return create_folder(tmp_path / "out", "made-1")


@pytest.mark.slow
def test_what_is_wrong_in_mlflow_is_found(
    folder: SearchFolder, make_store: Callable[[Path], str]
) -> None:
    uri = make_store(folder.root.parent)
    search = MadeSearch(24)
    recorder = Recorder(folder, uri, search.log)
    recorder.search_started()
    search.run(recorder)
    recorder.search_ended(interrupted=False)
    check_records(folder.root, uri)
    front = search.log.front()
    changed = next(
        trial.trial_id
        for trial in search.log.trials.values()
        if trial.state is TrialState.FINISHED and trial not in front
    )
    ids = {trial_name(run): run.info.run_id for run in child_runs(folder.root, uri)}
    client = MlflowClient(tracking_uri=uri)
    for check, change, undo in CHANGES:
        change(client, ids[changed])
        with pytest.raises(AssertionError):
            check(folder.root, uri)
        undo(client, ids[changed])
    client.set_terminated(parent_run(folder.root, uri).info.run_id, "KILLED")
    with pytest.raises(AssertionError):
        check_parent_in_mlflow(folder.root, uri)


def test_what_is_wrong_in_the_tables_is_found(
    folder: SearchFolder, make_store: Callable[[Path], str]
) -> None:
    search = MadeSearch(6)
    recorder = Recorder(folder, make_store(folder.root.parent), search.log)
    recorder.search_started()
    search.run(recorder)
    recorder.search_ended(interrupted=False)
    check_tables(folder.root)
    for path in (folder.history, folder.trials, folder.front):
        table = pq.ParquetFile(path).read()
        doubled = table.take([0, *range(table.num_rows)])
        pq.write_table(doubled, path)
        with pytest.raises(AssertionError, match=f"more than once in {path.name}"):
            check_tables(folder.root)
        pq.write_table(table, path)
    history = pq.ParquetFile(folder.history).read()
    pq.write_table(history.slice(1), folder.history)
    with pytest.raises(AssertionError):
        check_tables(folder.root)
