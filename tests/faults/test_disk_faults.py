"""The output folder is full, read-only or gone: a line, exit code 1; MLflow has what was known."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from mlflow.tracking import MlflowClient

from tests.faults.check_records import check_records, check_weights, child_runs, parent_run
from tests.faults.failing_disk import FailingDisk, failing_disk
from tests.faults.search_process import SearchProcess, outcome
from tests.faults.small_disk import fill, small_disk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

Disk = TypeVar("Disk")


@contextmanager
def mounted(disk: AbstractContextManager[Disk]) -> Iterator[Disk]:
    """Give what ``disk`` gives; skip the test where nothing may be mounted."""
    with ExitStack() as stack:
        try:
            made = stack.enter_context(disk)
        except PermissionError as error:
            pytest.skip(str(error))
        yield made


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB; the page of a front takes four, and twice that with MLflow's copy."""
    with mounted(small_disk(tmp_path / "disk", megabytes=24)) as folder:
        yield folder


@pytest.fixture
def bad_disk(tmp_path: Path) -> Iterator[FailingDisk]:
    """A disk that can be made to fail."""
    with mounted(failing_disk(tmp_path / "bad", megabytes=48)) as made:
        yield made


def ends_by(search: SearchProcess, reason: str) -> None:
    """Wait for the end of a search, whose last line gives the reason."""
    code, stdout, stderr = search.finish()
    assert code == 1
    assert "Traceback" not in stdout + stderr
    error = stderr.splitlines()[-1]
    assert error.startswith("error: ")
    assert error.endswith(reason)


def test_a_full_disk_ends_the_search_and_once_there_is_room_it_goes_on(
    tmp_path: Path, disk: Path, ray_address: str, undisturbed: SearchProcess
) -> None:
    search = SearchProcess(tmp_path, "--address", ray_address, out=disk / "out")
    num_reports = undisturbed.count("reported")
    for moment in sorted(random.Random(7).sample(range(1, num_reports - 5), 2)):
        search.start()
        search.wait_for("reported", moment)
        filler = fill(disk)
        ends_by(search, "No space left on device")
        filler.unlink()
    search.start()
    code, stdout, stderr = search.finish()
    assert code == 0, stdout + stderr
    assert "Traceback" not in stdout + stderr
    check_records(search.folder, search.tracking_uri)
    check_weights(search.folder)
    assert outcome(search.folder) == outcome(undisturbed.folder)


def test_a_disk_that_turns_read_only_ends_the_search_and_repaired_it_goes_on(
    tmp_path: Path, bad_disk: FailingDisk, ray_address: str, undisturbed: SearchProcess
) -> None:
    search = SearchProcess(tmp_path, "--address", ray_address, out=bad_disk.folder / "out")
    search.start()
    search.wait_for("reported", undisturbed.count("reported") // 2)
    bad_disk.fail()
    ends_by(search, "Read-only file system")
    # The last line may have been refused and not be taken back, since nothing can be written.
    known = {(event["trial"], event["epoch"]) for event in search.events("reported")[:-1]}
    assert known <= steps_in_mlflow(search)
    bad_disk.repair()
    search.start()
    code, stdout, stderr = search.finish()
    assert (code, stderr) == (0, ""), stdout
    check_records(search.folder, search.tracking_uri)
    check_weights(search.folder)
    assert outcome(search.folder) == outcome(undisturbed.folder)


def steps_in_mlflow(search: SearchProcess) -> set[tuple[str, int]]:
    client = MlflowClient(tracking_uri=search.tracking_uri)
    return {
        (run.data.tags["tunebox.trial_id"], metric.step)
        for run in child_runs(search.folder, search.tracking_uri)
        for metric in client.get_metric_history(run.info.run_id, "clean_accuracy")
    }


def test_a_folder_that_vanishes_ends_the_search(
    tmp_path: Path, ray_address: str, undisturbed: SearchProcess
) -> None:
    search = SearchProcess(tmp_path, "--address", ray_address)
    search.start()
    search.wait_for("reported", undisturbed.count("reported") // 2)
    known = {e["trial"] for e in search.events("ended") if e["state"] != "interrupted"}
    assert known
    aside = tmp_path / "aside"
    os.rename(search.folder, aside)
    code, stdout, stderr = search.finish()
    assert code == 1
    assert "Traceback" not in stdout + stderr
    assert stderr.splitlines()[-1].startswith("error: ")
    assert "No such file or directory" in stderr.splitlines()[-1]
    ended = [
        run.data.tags["tunebox.trial_id"]
        for run in child_runs(search.folder, search.tracking_uri)
        if run.info.status in ("FINISHED", "FAILED")
    ]
    assert known <= set(ended)
    assert parent_run(search.folder, search.tracking_uri).info.status == "FAILED"
    shutil.rmtree(search.folder, ignore_errors=True)
    os.rename(aside, search.folder)
    search.start()  # put back, it goes on
    code, stdout, stderr = search.finish()
    assert (code, stderr) == (0, ""), stdout
    check_records(search.folder, search.tracking_uri)
    check_weights(search.folder)
    assert outcome(search.folder) == outcome(undisturbed.folder)
