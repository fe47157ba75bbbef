"""One real search from the command line, and everything that can be done with it."""

import math
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from safetensors.torch import load_file

import tunebox
from tests.command_line import mlflow_runs, run_tunebox, succeed
from tests.conftest import RealSearch
from tunebox.data.parts import load_test_part
from tunebox.spec.load import load_spec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TRIALS, MIN_EPOCHS, MAX_EPOCHS = 12, 2, 6
RUNGS = {2, 4}
MODEL_FILES = {"trial.yaml", "README.md", "model.json"}  # of a trial without weights

Row = dict[str, Any]
Point = tuple[float, float]


def read_rows(path: Path) -> list[Row]:
    rows: list[Row] = pq.read_table(path).to_pylist()
    return rows


@pytest.fixture(scope="module")
def trials(real_search: RealSearch) -> dict[str, Row]:
    rows = read_rows(real_search.folder.trials)
    assert len({row["trial_id"] for row in rows}) == len(rows)
    return {row["trial_id"]: row for row in rows}


@pytest.fixture(scope="module")
def reports(real_search: RealSearch) -> dict[str, list[Row]]:
    """The rows of the history by trial."""
    by_trial: dict[str, list[Row]] = {}
    for row in read_rows(real_search.folder.history):
        by_trial.setdefault(row["trial_id"], []).append(row)
    return by_trial


@pytest.fixture(scope="module")
def last_points(reports: dict[str, list[Row]]) -> dict[str, Point]:
    return {
        trial_id: (rows[-1]["clean_accuracy"], rows[-1]["noisy_accuracy"])
        for trial_id, rows in reports.items()
    }


@pytest.fixture(scope="module")
def front(last_points: dict[str, Point]) -> list[str]:
    """The front by brute force from the history, best clean accuracy first, the first of equals."""

    def dominates(one: Point, other: Point) -> bool:
        return one[0] >= other[0] and one[1] >= other[1] and one != other

    ids = [
        trial_id
        for trial_id, point in last_points.items()
        if not any(dominates(other, point) for other in last_points.values())
    ]
    points = [last_points[trial_id] for trial_id in ids]
    first = [trial_id for n, trial_id in enumerate(ids) if points[n] not in points[:n]]
    return sorted(first, key=lambda trial_id: last_points[trial_id][0], reverse=True)


@pytest.fixture(scope="module")
def hypervolume(front: list[str], last_points: dict[str, Point]) -> float:
    """The area that the front dominates above (0, 0), in strips."""
    area = best_noisy = 0.0
    for clean, noisy in (last_points[trial_id] for trial_id in front):
        area += clean * max(0.0, noisy - best_noisy)
        best_noisy = max(best_noisy, noisy)
    return area


@pytest.fixture(scope="module")
def client(real_search: RealSearch) -> MlflowClient:
    return MlflowClient(tracking_uri=real_search.tracking_uri)


@pytest.fixture(scope="module")
def runs(real_search: RealSearch) -> dict[str, list[Run]]:
    """The runs of the search by kind."""
    by_kind: dict[str, list[Run]] = {"search": [], "trial": []}
    for run in mlflow_runs(real_search.out, f"tags.`tunebox.search` = '{real_search.name}'"):
        by_kind[run.data.tags["tunebox.kind"]].append(run)
    return by_kind


@pytest.fixture(scope="module")
def exported(real_search: RealSearch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole front as models."""
    to = tmp_path_factory.mktemp("exported") / "all"
    succeed("export", real_search.name, "--out", "out", "--to", to, cwd=real_search.home)
    return to


def test_what_is_printed(real_search: RealSearch, front: list[str], hypervolume: float) -> None:
    lines = real_search.printed.splitlines()
    title = f"Front of methods-1: {len(front)} of 12 trials, hypervolume {hypervolume:.4f}"
    table = lines.index(next(line for line in lines if line.rstrip() == title)) + 1
    assert lines[table + 1].split()[:4] == ["trial", "accuracy", "accuracy", "epochs"]
    rows = [line.split()[0] for line in lines[table + 2 :][: len(front)]]
    assert rows == front
    assert "files   out/methods-1" in lines
    assert f"MLflow  {real_search.tracking_uri}" in lines
    for command in ("ui --out out", "front methods-1 --out out", "export methods-1 --pick knee"):
        assert any(f"tunebox {command}" in line for line in lines)


def test_every_trial_is_there_once_and_its_history_has_no_gaps(
    trials: dict[str, Row], reports: dict[str, list[Row]]
) -> None:
    # in the order of their starts, and two start at once
    assert sorted(trials) == [f"{number:04d}" for number in range(TRIALS)]
    assert list(reports) == list(trials)
    for trial_id, row in trials.items():
        epochs = [report["epoch"] for report in reports[trial_id]]
        assert epochs == list(range(1, row["epochs"] + 1))
        times = [report["time"] for report in reports[trial_id]]
        assert times == sorted(times)
        assert row["start_time"] <= times[0]
        assert times[-1] <= row["end_time"]


def test_states_agree_with_epochs(trials: dict[str, Row]) -> None:
    for row in trials.values():
        if row["state"] == "finished":
            assert row["epochs"] == MAX_EPOCHS
        else:
            assert row["state"] == "stopped"
            assert row["epochs"] in RUNGS
    assert {row["state"] for row in trials.values()} == {"finished", "stopped"}


def test_last_and_best_metrics_are_those_of_the_history(
    trials: dict[str, Row], reports: dict[str, list[Row]]
) -> None:
    for trial_id, row in trials.items():
        last = reports[trial_id][-1]
        names = [name for name in last if name not in ("trial_id", "epoch", "time")]
        assert {name: row[f"last/{name}"] for name in names} == {n: last[n] for n in names}
        accuracies = [report["noisy_accuracy"] for report in reports[trial_id]]
        assert row["best/noisy_accuracy"] == max(accuracies)


def test_the_front_is_the_one_found_by_brute_force(
    real_search: RealSearch,
    trials: dict[str, Row],
    front: list[str],
    last_points: dict[str, Point],
) -> None:
    rows = read_rows(real_search.folder.front)
    equal = [row.pop("equal_trials") for row in rows]
    assert rows == [trials[trial_id] for trial_id in front]
    assert equal == [
        [i for i, point in last_points.items() if point == last_points[trial_id] and i != trial_id]
        for trial_id in front
    ]
    table = tunebox.front(real_search.name, str(real_search.out))
    assert table["trial_id"].to_pylist() == front


def test_weights_are_kept_for_the_front_alone(
    real_search: RealSearch, trials: dict[str, Row], front: list[str]
) -> None:
    kept = {trial_id for trial_id, row in trials.items() if row["checkpoint"] is not None}
    assert kept == set(front)
    expected = {real_search.folder.root / trials[i]["checkpoint"] for i in front}
    assert set(real_search.folder.root.rglob("*.pt")) == expected


def test_mlflow_has_a_parent_and_a_child_for_each_trial(
    runs: dict[str, list[Run]], trials: dict[str, Row]
) -> None:
    [parent] = runs["search"]
    assert parent.info.run_name == "methods-1"
    assert parent.info.status == "FINISHED"
    assert parent.data.params["search/seed"] == "3"
    assert sorted(run.data.tags["tunebox.trial_id"] for run in runs["trial"]) == sorted(trials)
    for run in runs["trial"]:
        row = trials[run.data.tags["tunebox.trial_id"]]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["tunebox.state"] == row["state"]
        assert run.info.status == "FINISHED"


def test_mlflow_parameters_are_the_settings(
    real_search: RealSearch, runs: dict[str, list[Run]], trials: dict[str, Row]
) -> None:
    paths = [leaf.path for leaf in load_spec(str(real_search.folder.search_file)).space.leaves]
    assert "losses/ours/discriminative/weight" in paths
    for run in runs["trial"]:
        row = trials[run.data.tags["tunebox.trial_id"]]
        settings = {path: row[path] for path in paths if row[path] is not None}
        params = run.data.params
        assert set(params) == set(settings)
        for path, value in settings.items():
            assert type(value)(params[path]) == value


def test_mlflow_metrics_are_the_history(
    client: MlflowClient, runs: dict[str, list[Run]], reports: dict[str, list[Row]]
) -> None:
    for run in runs["trial"]:
        rows = reports[run.data.tags["tunebox.trial_id"]]
        for name in ("clean_accuracy", "noisy_accuracy", "train_loss", "learning_rate"):
            history = client.get_metric_history(run.info.run_id, name)
            assert [(m.step, m.value) for m in history] == [(r["epoch"], r[name]) for r in rows]


def test_mlflow_tags_the_front_and_nothing_else(real_search: RealSearch, front: list[str]) -> None:
    tagged = mlflow_runs(real_search.out, 'tags."tunebox.pareto" = "true"')
    assert sorted(run.data.tags["tunebox.trial_id"] for run in tagged) == sorted(front)


def test_mlflow_has_the_hypervolume_over_time(
    client: MlflowClient, runs: dict[str, list[Run]], hypervolume: float
) -> None:
    [parent] = runs["search"]
    history = client.get_metric_history(parent.info.run_id, "hypervolume")
    assert history[-1].step == TRIALS
    assert history[-1].value == pytest.approx(hypervolume, rel=1e-9)
    values = [metric.value for metric in history]
    assert values == sorted(values)


def test_mlflow_has_the_files(client: MlflowClient, runs: dict[str, list[Run]]) -> None:
    [parent] = runs["search"]
    files = {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    assert files == {
        *("search.yaml", "report.html", "front.png", "front_table.json"),
        *("front.parquet", "trials.parquet", "history.parquet"),
    }


def test_front_prints_searches_side_by_side(
    real_search: RealSearch, front: list[str], hypervolume: float, tmp_path: Path
) -> None:
    printed = succeed("front", real_search.name, "--out", "out", cwd=real_search.home)
    assert [trial_id for trial_id in front if f"\n{trial_id} " in printed] == front
    assert f"hypervolume {hypervolume:.4f}" in printed
    for name in ("one", "two"):
        shutil.copytree(real_search.folder.root, tmp_path / name)
    printed = succeed("front", "one", "two", "--out", tmp_path, cwd=tmp_path)
    rows = {line.split()[0]: line.split() for line in printed.splitlines() if line.strip()}
    for name in ("one", "two"):
        assert rows[name][1] == str(TRIALS)
        assert rows[name][3:5] == [str(len(front)), f"{hypervolume:.4f}"]


def test_the_whole_front_is_exported(exported: Path, front: list[str]) -> None:
    assert sorted(path.name for path in exported.iterdir()) == sorted(front)
    for folder in exported.iterdir():
        names = {path.name for path in folder.iterdir()}
        assert names == {*MODEL_FILES, "model.pt2", "model.safetensors"}


@pytest.mark.parametrize("pick", ["knee", "best:noisy_accuracy"])
def test_one_of_the_front_is_exported(
    real_search: RealSearch, front: list[str], pick: str, tmp_path: Path
) -> None:
    options = ("--out", "out", "--pick", pick, "--to", tmp_path)
    printed = succeed("export", real_search.name, *options, cwd=real_search.home)
    [folder] = tmp_path.iterdir()
    assert printed.splitlines()[0] == str(folder)
    assert folder.name == front[-1] if pick.startswith("best") else folder.name in front


def test_a_trial_off_the_front_is_exported_without_weights(
    real_search: RealSearch, trials: dict[str, Row], front: list[str], tmp_path: Path
) -> None:
    other = next(trial_id for trial_id in trials if trial_id not in front)
    options = ("--out", "out", "--pick", other, "--to", tmp_path)
    printed = succeed("export", real_search.name, *options, cwd=real_search.home)
    assert f"tunebox train {tmp_path / other / 'trial.yaml'}" in printed
    assert {path.name for path in (tmp_path / other).iterdir()} == MODEL_FILES


def test_a_trial_trained_again_is_the_same_to_the_last_bit(
    real_search: RealSearch, trials: dict[str, Row], front: list[str], exported: Path
) -> None:
    finished = next(i for i in front if trials[i]["state"] == "finished")
    again = exported.parent / "again"
    options = ("--to", again, "--out", exported.parent / "trained")
    succeed("train", exported / finished / "trial.yaml", *options, cwd=real_search.home)
    [run] = mlflow_runs(exported.parent / "trained", "tags.`tunebox.kind` = 'training'")
    assert run.info.status == "FINISHED"
    for name in ("clean_accuracy", "noisy_accuracy", "clean_loss", "noisy_loss", "train_loss"):
        assert run.data.metrics[name] == trials[finished][f"last/{name}"]
    first, second = (
        load_file(folder / "model.safetensors") for folder in (exported / finished, again)
    )
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_evaluate_measures_on_the_test_part(exported: Path, front: list[str]) -> None:
    folder, out = exported / front[0], exported.parent / "evaluated"
    printed = succeed("evaluate", folder, "--out", out, cwd=exported)
    config = load_spec(str(folder / "trial.yaml")).trial_config({})
    test = load_test_part(config.data)
    images = test.images.to(torch.float32) / 255
    with torch.no_grad():
        predicted = tunebox.load_model(folder)(images).argmax(dim=1)
    accuracy = (predicted == test.labels).double().mean().item()
    rows = {(r["perturbation"], r["strength"]): r for r in read_rows(folder / "evaluation.parquet")}
    assert rows["clean", 0.0]["accuracy"] == pytest.approx(accuracy, abs=1e-12)
    assert f"{100 * accuracy:.2f} %" in printed
    assert (folder / "evaluation.png").stat().st_size > 1000
    [run] = mlflow_runs(out, "tags.`tunebox.kind` = 'evaluation'")
    assert run.data.metrics["test/clean/accuracy"] == pytest.approx(accuracy, abs=1e-12)
    assert all(math.isfinite(value) for value in run.data.metrics.values())


def test_a_taken_name_is_refused(real_search: RealSearch) -> None:
    options = ("--out", "out", "--name", real_search.name)
    done = run_tunebox("search", "methods.yaml", *options, cwd=real_search.home)
    assert done.returncode == 2
    assert done.stderr.startswith("error: out/methods-1 exists already")
    assert done.stderr.count("\n") == 1
