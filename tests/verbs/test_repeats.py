"""``search/repeats``: the best trials are trained again at the end of a search."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import tunebox
from tests.engine.test_every_executor import SEARCH_FILE
from tunebox.cli.main import front
from tunebox.decisions.events import Event, Reported, SearchEnded
from tunebox.errors import TuneboxError
from tunebox.records.run_end import read_run_end
from tunebox.records.search_folder import SearchFolder
from tunebox.records.test_looks import read_looks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

MAX_EPOCHS = 4
CLOCK = ("time", "train_seconds", "images_per_second")


@pytest.fixture
def out(tmp_path: Path, empty_store: Path) -> Path:
    """An output folder with a store of MLflow, which takes seconds to make."""
    (tmp_path / "out").mkdir()
    shutil.copy(empty_store, tmp_path / "out" / "mlflow.db")
    return tmp_path / "out"


def search(out: Path, **options: Any) -> tuple[Any, list[str]]:
    lines = list[str]()
    settings = {"name": "s", "out": str(out), "address": "none", "note": lines.append, **options}
    if options.get("resume"):
        return tunebox.search(**settings), lines
    file = out.parent / "s.yaml"
    file.write_text(SEARCH_FILE, encoding="utf-8")
    return tunebox.search(str(file), **settings), lines


def history(out: Path, name: str) -> list[dict[str, Any]]:
    rows = pq.read_table(out / name / "history.parquet").to_pylist()
    return [{key: value for key, value in row.items() if key not in CLOCK} for row in rows]


def printed_front(out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    front(["s"], out=str(out))
    return capsys.readouterr().out


def retrainings(out: Path) -> list[dict[str, Any]]:
    return history(out, "s-confirm")


def test_a_search_trains_its_best_trials_again_and_leaves_test_alone(out: Path) -> None:
    result, lines = search(out, repeats=2)
    spent = result.log.epochs_spent
    rows = retrainings(out)
    assert 0 < len(rows) <= round(0.3 * spent)
    assert not any(name.startswith("test_") for name in rows[0])
    assert read_looks(SearchFolder(out / "s")) == []
    assert result.confirmed is not None
    assert result.confirmed.front
    assert not any(trial.test_means for trial in result.confirmed.trials)
    assert any(line.startswith("repeats: the best trials are trained again") for line in lines)
    assert "repeats: " in result.ended

    resumed, _ = search(out, resume=True)  # with nothing left
    assert retrainings(out) == rows
    assert str(resumed.confirmed) == str(result.confirmed)  # NaN is no equal of NaN

    confirmed = tunebox.confirm("s", out=out, address="none", seeds=1, budget=4 * MAX_EPOCHS)
    more = retrainings(out)
    for row, kept in zip(rows, more, strict=False):
        assert row.items() <= kept.items()  # which has columns of the test set too
    tested = [row for row in more if row.get("test_clean_accuracy") is not None]
    assert 0 < len(tested) <= 4
    assert len(more) == len(rows) + len(tested) * MAX_EPOCHS
    assert [look.by for look in read_looks(SearchFolder(out / "s"))] == ["confirm"]
    assert any(trial.test_means for trial in confirmed.confirmed.trials)


def test_repeats_stay_within_the_budget_of_epochs(out: Path) -> None:
    result, _ = search(out, repeats=3, epochs=60, trials=40)
    spent = result.log.epochs_spent
    assert 46 <= spent <= 60 - MAX_EPOCHS
    assert MAX_EPOCHS <= len(retrainings(out)) <= 60 - spent


def test_too_small_a_rest_is_said_and_trains_nothing(out: Path) -> None:
    result, lines = search(out, repeats=1, trials=2)
    assert not (out / "s-confirm").exists()
    assert result.confirmed is None
    assert any("no trial is trained again" in line for line in lines)
    assert any("no trial is trained again" in line for line in result.warnings)


def test_a_search_that_is_cut_off_in_its_repeats_says_so_and_goes_on(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Path(shutil.copytree(out, tmp_path / "whole"))
    expected, _ = search(whole, repeats=2, trials=20)
    seen = list[Event]()

    def cut_off(event: Event) -> None:
        seen.append(event)
        ends = [index for index, one in enumerate(seen) if isinstance(one, SearchEnded)]
        if ends and sum(isinstance(one, Reported) for one in seen[ends[0] :]) == MAX_EPOCHS + 1:
            raise RuntimeError("the power is gone")

    with pytest.raises(RuntimeError, match="the power is gone"):
        search(out, repeats=2, trials=20, on_event=cut_off)
    trained = history(out, "s")
    folder = SearchFolder(out / "s")
    assert read_run_end(folder.run_end) is None  # it has not ended
    again = f"tunebox search --resume s --out {out}"
    assert f"its retrainings were stopped; go on with: {again}" in printed_front(out, capsys)

    result, lines = search(out, resume=True)
    assert any(line.startswith("repeats: they were stopped and go on") for line in lines)
    assert history(out, "s") == trained  # no trial is trained any more
    assert history(out, "s-confirm") == history(whole, "s-confirm")
    assert str(result.confirmed) == str(expected.confirmed)
    end = read_run_end(folder.run_end)
    assert end is not None
    assert "repeats: " in end.ended
    assert "retrainings were stopped" not in printed_front(out, capsys)


def test_a_loop_of_ones_own_has_no_repeats() -> None:
    own = {
        "trial": "loop.py:train",
        "objectives": {"loss": {"direction": "minimize", "reference": 1.0}},
        "search": {"repeats": 2},
    }
    with pytest.raises(TuneboxError, match="--repeats: a loop of your own"):
        tunebox.search(own)
