"""``tunebox confirm`` on a search that was trained in this process: killed, resumed, extended."""

from __future__ import annotations

import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import tunebox
from tests.command_line import mlflow_runs, start_tunebox, trial_name
from tests.engine.test_every_executor import SEARCH_FILE
from tunebox.decisions.events import Event, Reported
from tunebox.errors import TuneboxError
from tunebox.records.search_folder import SearchFolder
from tunebox.records.test_looks import read_looks
from tunebox.spec.load import spec_from_source
from tunebox.spec.yaml_source import parse_yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

MAX_EPOCHS = 4
CLOCK = ("time", "train_seconds", "images_per_second")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """The output folder with the search ``s``; nothing may be changed in it."""
    out = tmp_path_factory.mktemp("made")
    shutil.copy(empty_store, out / "mlflow.db")
    spec = spec_from_source(parse_yaml(SEARCH_FILE, "s.yaml"))
    tunebox.search(spec, name="s", out=str(out), address="none")
    return out


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "out"))


def confirm(out: Path, **options: Any) -> tuple[Any, list[str]]:
    lines = list[str]()
    settings = {"seeds": 2, "budget": 6 * MAX_EPOCHS, "address": "none", **options}
    return tunebox.confirm("s", out=out, note=lines.append, **settings), lines


def history(out: Path) -> list[dict[str, Any]]:
    rows = pq.read_table(out / "s-confirm" / "history.parquet").to_pylist()
    return [{key: value for key, value in row.items() if key not in CLOCK} for row in rows]


def stop_after(number: int) -> Callable[[Event], None]:
    left = [number]

    def on_event(event: Event) -> None:
        left[0] -= isinstance(event, Reported)
        if left[0] == 0:
            raise RuntimeError("the power is gone")

    return on_event


def test_one_that_is_cut_off_goes_on_and_all_records_are_whole(out: Path, tmp_path: Path) -> None:
    whole = Path(shutil.copytree(out, tmp_path / "whole"))
    confirm(whole)
    with pytest.raises(RuntimeError, match="the power is gone"):
        confirm(out, on_event=stop_after(MAX_EPOCHS + 2))
    assert not (out / "s-confirm" / "trials.parquet").stat().st_size == 0
    result, lines = confirm(out)
    assert history(out) == history(whole)  # whatever was trained, it is as if nothing happened
    assert any("has been seen once before" in line for line in lines)
    rows = history(out)
    assert max(Counter((row["trial_id"], row["epoch"]) for row in rows).values()) == 1
    for row in rows:
        assert (row["test_clean_accuracy"] is not None) == (row["epoch"] == MAX_EPOCHS)
    _check_records(out, result)
    again, lines = confirm(out)
    assert history(out) == rows  # nothing is trained again
    assert again.confirmed == result.confirmed
    assert [look.by for look in read_looks(SearchFolder(out / "s"))] == ["confirm"] * 2
    more, _ = confirm(out, seeds=3, budget=9 * MAX_EPOCHS)
    assert history(out)[: len(rows)] == rows
    assert len(more.retrainings.log.trials) > len(result.retrainings.log.trials)


def _check_records(out: Path, result: Any) -> None:
    trials = result.retrainings.log.trials
    assert sum(trial.num_seeds for trial in result.confirmed.trials) == len(trials) > 2
    settings = {t.trial_id: t.settings for t in result.log.trials.values()}
    runs = {trial_name(run): run for run in mlflow_runs(out, "tags.`tunebox.kind` = 'retraining'")}
    assert set(runs) == set(trials)
    for trial_id, trial in trials.items():
        tags = runs[trial_id].data.tags
        search, _, repeated = tags["tunebox.repeats"].partition("/")
        assert search == "s"
        own = {path: value for path, value in trial.settings.items() if path != "training/seed"}
        assert own == settings[repeated]
        assert "tunebox.pareto" not in tags
    table = pq.read_table(result.table).to_pylist()
    for row in table:
        values = [
            trial.last_metrics["clean_accuracy"]
            for trial in trials.values()
            if {**trial.settings, "training/seed": 0}
            == {**settings[row["trial_id"]], "training/seed": 0}
        ]
        assert len(values) == row["num_seeds"]
        assert row["mean/clean_accuracy"] == pytest.approx(sum(values) / len(values))


def test_one_that_is_killed_goes_on(out: Path, tmp_path: Path) -> None:
    options = ("--seeds", "2", "--budget", str(6 * MAX_EPOCHS), "--address", "none")
    process = start_tunebox("confirm", "s", "--out", out, *options, cwd=tmp_path)
    journal = out / "s-confirm" / "journal.jsonl"
    while process.poll() is None:
        if journal.exists() and journal.read_text(encoding="utf-8").count('"reported"') > 5:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.02)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    confirm(out)
    rows = history(out)
    assert max(Counter((row["trial_id"], row["epoch"]) for row in rows).values()) == 1
    assert {row["trial_id"] for row in rows} == {
        row["trial_id"] for row in rows if row["epoch"] == MAX_EPOCHS
    }


def test_knee_and_card_of_an_export_are_of_the_confirmed_front(out: Path, tmp_path: Path) -> None:
    before = tunebox.export("s", to=tmp_path / "before", pick="knee", out=out)
    assert "of one seed; to train the front again with others: tunebox confirm s" in before.notes[0]
    result, _ = confirm(out)
    [knee] = [trial for trial in result.confirmed.front if trial.is_knee]
    exported = tunebox.export("s", to=tmp_path / "after", pick="knee", out=out)
    assert exported.notes == []
    assert [folder.name for folder in exported.folders] == [knee.trial_id]
    card = (exported.folders[0] / "README.md").read_text(encoding="utf-8")
    mean = knee.test_means["noisy_accuracy"]
    assert f"| noisy_accuracy on test | {mean.value:.4g}" in card


def test_what_cannot_be_confirmed_is_one_line(out: Path) -> None:
    def refused(match: str, name: str = "s", **options: Any) -> None:
        with pytest.raises(TuneboxError, match=match):
            tunebox.confirm(name, out=out, address="none", **options)

    refused("no search 'other'", name="other")
    refused("seeds: got 0", seeds=0)
    refused(f"budget 3: a retraining has {MAX_EPOCHS} epochs", budget=3)
    refused("no trial '9999'", pick=["9999"])
    refused("seed: no option of a confirmation; did you mean seeds", seed=3)
    confirm(out, pick=["0001"], seeds=1)
    refused("s-confirm is a confirmation itself", name="s-confirm")
    with pytest.raises(TuneboxError, match="go on by: tunebox confirm s --out "):
        tunebox.search(resume=True, name="s-confirm", out=str(out))
    journal = out / "s-confirm" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    for number, kept in ((1, b"".join(lines[:2])), (1, b"x" * 9)):
        journal.write_bytes(kept)
        refused(f"journal.jsonl lacks the results of {number} trial")
        assert journal.read_bytes() == kept
    journal.write_bytes(b"".join(lines))
    (out / "s-confirm" / "confirm.json").write_text("{", encoding="utf-8")
    refused("cannot be read")
