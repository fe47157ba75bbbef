"""A search with cross-validation: cut off and resumed, exported, confirmed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import tunebox
from tests.engine.test_every_executor import SEARCH_FILE
from tunebox.decisions.events import Event, Reported
from tunebox.errors import TuneboxError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

CLOCK = ("time", "train_seconds", "images_per_second")
FOLDS = SEARCH_FILE.replace("std: 0.5}}", "std: 0.5}, cross_validation: 3}")
FOLDS = FOLDS.replace("train_images: 200", "train_images: 90").replace("trials: 7", "trials: 4")


def search(out: Path, **options: Any) -> Any:
    if options.get("resume"):
        return tunebox.search(name="s", out=str(out), address="none", **options)
    file = out.parent / "s.yaml"
    file.write_text(FOLDS, encoding="utf-8")
    return tunebox.search(str(file), name="s", out=str(out), address="none", **options)


def history(out: Path) -> list[dict[str, Any]]:
    rows = pq.read_table(out / "s" / "history.parquet").to_pylist()
    return [{key: value for key, value in row.items() if key not in CLOCK} for row in rows]


def test_one_that_is_cut_off_goes_on_with_all_folds(tmp_path: Path, empty_store: Path) -> None:
    for name in ("whole", "out"):  # a store of MLflow takes seconds to make
        (tmp_path / name).mkdir()
        shutil.copy(empty_store, tmp_path / name / "mlflow.db")
    lines = list[str]()
    search(tmp_path / "whole", note=lines.append)
    assert any(line.startswith("cross-validation: a trial trains 3 models") for line in lines)
    left = [5]

    def cut_off(event: Event) -> None:
        left[0] -= isinstance(event, Reported)
        if left[0] == 0:
            raise RuntimeError("the power is gone")

    out = tmp_path / "out"
    with pytest.raises(RuntimeError, match="the power is gone"):
        search(out, on_event=cut_off)
    search(out, resume=True)
    rows = history(out)
    assert rows == history(tmp_path / "whole")
    assert all(row["clean_accuracy_fold_std"] >= 0 for row in rows)

    [folder] = tunebox.export("s", to=tmp_path / "models", pick="knee", out=out).folders
    described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert described["cross_validation"] == 3
    assert described["data"]["num_images"] == {"train": 60, "validation": 30}
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "Means over the 3 folds" in card
    assert "weights are those of the first fold" in card

    result = tunebox.confirm("s", out=out, address="none", seeds=1, budget=4, pick=["knee"])
    [again] = result.retrainings.log.trials.values()
    assert 0 < again.last_metrics["test_clean_accuracy"] < 1
    assert again.last_metrics["test_images"] == 359


def test_more_folds_than_images_of_a_class_are_refused_before_a_trial(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(FOLDS.replace("cross_validation: 3", "cross_validation: 40"), encoding="utf-8")
    with pytest.raises(TuneboxError, match="fewer than the 40 folds"):
        tunebox.search(str(file), name="s", out=str(tmp_path / "out"), address="none")
    assert not (tmp_path / "out" / "s").exists()
