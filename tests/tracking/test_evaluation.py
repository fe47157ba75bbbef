from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient

from tunebox.errors import RecordsError
from tunebox.records.evaluation_table import write_evaluation_table
from tunebox.records.files import write_json
from tunebox.reports.evaluation_picture import write_evaluation_picture
from tunebox.tracking.single_run import record_evaluation


@dataclass(frozen=True)
class Row:
    perturbation: str
    strength_name: str
    strength: float
    accuracy: float
    loss: float | None


ROWS = [
    Row("clean", "none", 0.0, 0.97, 0.1),
    Row("gaussian", "std", 0.5, 0.4, 2.0),
    Row("gaussian", "std", 0.25, 0.8, 0.7),
    Row("down_up", "scale", 1 / 3, 0.6, 1.2),
    Row("certified", "radius", 0.25, 0.3, None),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "exported" / "t042"
    folder.mkdir(parents=True)
    return folder


def write_both(folder: Path, rows: list[Row]) -> list[Path]:
    return [write_evaluation_table(folder, rows), write_evaluation_picture(folder, rows)]


@pytest.mark.parametrize("num_rows", [0, 1, 5])
def test_the_table_and_the_picture_lie_beside_the_model(folder: Path, num_rows: int) -> None:
    rows = ROWS[:num_rows]
    for _ in range(2):  # a second one replaces the first
        table, picture = write_both(folder, rows)
    assert pq.read_table(table).to_pylist() == [vars(row) for row in rows]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert sorted(folder.iterdir()) == sorted([table, picture])


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    for write in (write_evaluation_table, write_evaluation_picture):
        with pytest.raises(RecordsError, match="cannot be written"):
            write(tmp_path / "absent", ROWS)


def test_an_evaluation_is_one_run(
    folder: Path, tmp_path: Path, make_store: Callable[[Path], str]
) -> None:
    out = tmp_path / "out"
    uri = make_store(out)
    files = write_both(folder, ROWS)
    run_id = record_evaluation(
        folder, ROWS, files, tracking_uri=uri, out=out, seed=4, extra={"curvature/mean": 1.5}
    )
    client = MlflowClient(tracking_uri=uri)
    [run] = client.search_runs(["1"])
    assert run.info.run_id == run_id
    assert run.info.status == "FINISHED"
    assert run.data.tags["tunebox.kind"] == "evaluation"
    assert run.data.tags["tunebox.trial_id"] == "t042"
    assert run.data.params == {"seed": "4", "part": "test"}
    assert run.data.metrics["test/clean/accuracy"] == 0.97
    assert run.data.metrics["test/gaussian/0.25/loss"] == 0.7
    assert run.data.metrics["test/down_up/0.333333/accuracy"] == 0.6
    assert run.data.metrics["test/certified/0.25/accuracy"] == 0.3
    assert "test/certified/0.25/loss" not in run.data.metrics
    assert run.data.metrics["test/curvature/mean"] == 1.5
    stored = {artifact.path for artifact in client.list_artifacts(run_id)}
    assert stored == {"evaluation.parquet", "evaluation.png"}


def test_a_model_of_a_search_names_it_in_the_run(
    folder: Path, tmp_path: Path, make_store: Callable[[Path], str]
) -> None:
    write_json(folder / "model.json", {"format": 1, "search": "digits-1", "trial": "0087"})
    uri = make_store(tmp_path / "out")
    record_evaluation(folder, ROWS, [], tracking_uri=uri, out=tmp_path / "out", seed=4)
    [run] = MlflowClient(tracking_uri=uri).search_runs(["1"])
    assert run.data.tags["tunebox.search"] == "digits-1"
    assert run.data.tags["tunebox.trial_id"] == "0087"


def test_mlflow_being_away_is_one_clear_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise ConnectionError("no route to host\nand more")

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", away)
    uri = f"sqlite:///{tmp_path}/m.db"
    with pytest.raises(RecordsError, match="did not take the run evaluation-t042: no route") as e:
        record_evaluation(folder, ROWS, [], tracking_uri=uri, out=tmp_path, seed=0)
    assert "\n" not in str(e.value)
