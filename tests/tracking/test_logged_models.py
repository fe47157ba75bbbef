"""Weights of the front in MLflow: logged once, served with names of classes, registered."""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import mlflow.pytorch
import numpy as np
import pytest
import requests
import torch
from mlflow.entities import LoggedModel, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

import tunebox
from tests.command_line import free_port, trial_name
from tests.faults.mlflow_server import MlflowServer
from tests.records.made_search import MadeSearch
from tests.records.make_log import make_spec
from tests.records.make_model import FACTS, NAMES, write_checkpoint
from tests.tracking.recorder import Recorder, ended, in_mlflow
from tunebox.decisions.confirmed import Confirmed, ConfirmedTrial, Estimate
from tunebox.decisions.trials import TrialLog
from tunebox.errors import RecordsError
from tunebox.models.base import Classifier
from tunebox.records.confirmed_table import write_confirmed
from tunebox.records.files import write_text
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.spec.write import search_yaml
from tunebox.tracking import delivery
from tunebox.tracking.sync import sync_search

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MakeStore = Callable[[Path], str]


class Made:
    """A search whose front has weights, and the networks that they are of."""

    def __init__(self, folder: SearchFolder, uri: str) -> None:
        self.folder, self.uri = folder, uri
        self.client = MlflowClient(tracking_uri=uri)
        self.search = MadeSearch(8)
        self.networks: dict[str, Classifier] = {}
        write_text(folder.search_file, search_yaml(make_spec()))
        for number, coming in enumerate(self.search.waiting):
            if coming.trial.checkpoint is not None:
                network = write_checkpoint(folder, coming.trial, number)
                self.networks[coming.trial.trial_id] = network

    @property
    def log(self) -> TrialLog:
        return self.search.log

    @property
    def front(self) -> list[str]:
        """The trials of the front, all with weights."""
        front = [trial.trial_id for trial in self.log.front()]
        assert set(front) <= self.networks.keys()
        return front

    def run(self) -> Recorder:
        recorder = Recorder(self.folder, self.uri, self.log)
        recorder.search_started()
        self.search.run(recorder)
        recorder.search_ended(interrupted=False)
        return recorder

    def models(self) -> dict[str, LoggedModel]:
        """The logged models by trial, of which a trial has one."""
        found = list(self.client.search_logged_models(["1"]))
        by_trial = {model.tags["tunebox.trial_id"]: model for model in found}
        assert len(by_trial) == len(found)
        return by_trial


@pytest.fixture
def made(tmp_path: Path, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> Made:
    monkeypatch.setattr(delivery, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(delivery, "END_SECONDS", 300.0)  # torch's export takes its time to import
    folder = create_folder(tmp_path / "out", "s-1")
    return Made(folder, make_store(folder.root.parent))


def images(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).random((count, 1, 8, 8), dtype=np.float32)


def test_the_front_is_logged_with_its_metrics_and_data(made: Made) -> None:
    recorder = made.run()
    assert recorder.warnings == []
    models = made.models()
    assert sorted(models) == sorted(made.front)
    runs = {trial_name(run): run for run in made.client.search_runs(["1"])}
    for trial_id, model in models.items():
        trial, run = made.log.trials[trial_id], runs[trial_id]
        assert model.name == f"s-1-{trial_id}"
        assert model.status == LoggedModelStatus.READY
        assert model.source_run_id == run.info.run_id
        assert {metric.key: metric.value for metric in model.metrics or []} == in_mlflow(
            trial.last_metrics
        )
        assert {metric.dataset_digest for metric in model.metrics or []} == {FACTS["sha256"][:36]}
        assert run.info.run_name == f"s-1/{trial_id}"
        assert run.data.metrics == in_mlflow(trial.last_metrics)  # linked, not added
        assert run.outputs is not None
        assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    for name in ("s-1", *made.front):
        inputs = runs[name].inputs
        assert inputs is not None
        [used] = inputs.dataset_inputs
        assert (used.dataset.name, used.dataset.digest) == ("digits", FACTS["sha256"][:36])
        assert json.loads(str(used.dataset.profile)) == {"num_train": 9, "num_validation": 4}
        assert [tag.value for tag in used.tags] == ["training"]


def test_images_become_names_and_probabilities(made: Made) -> None:
    made.run()
    for trial_id, model in made.models().items():
        served = mlflow.pyfunc.load_model(model.artifact_location)
        frame = served.predict(images())
        with torch.no_grad():
            expected = made.networks[trial_id](torch.from_numpy(images())).softmax(dim=1)
        assert list(frame["class"]) == [NAMES[k] for k in expected.argmax(dim=1)]
        assert frame["probability"].tolist() == pytest.approx(
            expected.amax(dim=1).tolist(), rel=1e-4
        )
        for row, shares in zip(frame["probabilities"], expected.tolist(), strict=True):
            assert row == pytest.approx(dict(zip(NAMES, shares, strict=True)), rel=1e-4)
        network = mlflow.pytorch.load_model(model.artifact_location)
        torch.testing.assert_close(network(torch.from_numpy(images())).softmax(dim=1), expected)
    [spec] = served.metadata.signature.inputs.inputs
    assert (spec.shape, spec.type) == ((-1, 1, 8, 8), np.dtype("float32"))
    example = served.input_example
    assert example.shape == (1, 1, 8, 8)
    assert not example.any()
    with pytest.raises(ValueError, match=r"\(N, 1, 8, 8\), float32 in \[0, 1\]; got values from"):
        served.predict(images() * 255)
    with pytest.raises(MlflowException, match="Failed to enforce schema"):
        served.predict(images()[:, :, :5])


@pytest.mark.parametrize("call", ["log_model_artifacts", "finalize_logged_model", "log_outputs"])
def test_what_fails_is_completed_by_sync_and_never_twice(
    made: Made, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(delivery, "AWAY_SECONDS", 0.2)
    with monkeypatch.context() as broken:

        def fail(*_: Any, **__: Any) -> None:
            raise ConnectionError("it went away")

        broken.setattr(MlflowClient, call, fail)
        recorder = made.run()
        assert "tunebox sync s-1" in recorder.warnings[-1]
    runs = {trial_name(run): run for run in made.client.search_runs(["1"])}
    assert runs["s-1"].info.status == "FINISHED"  # all else is there
    result = sync_search(made.folder, make_spec(), made.log, ended(), made.uri)
    assert (result.num_waiting, result.error, result.refusals) == (0, None, [])
    models = made.models()
    assert sorted(models) == sorted(made.front)
    assert {model.status for model in models.values()} == {LoggedModelStatus.READY}
    again = sync_search(made.folder, make_spec(), made.log, ended(), made.uri)
    assert (again.num_delivered, again.num_waiting) == (0, 0)
    assert {trial: model.model_id for trial, model in made.models().items()} == {
        trial: model.model_id for trial, model in models.items()
    }


def test_weights_that_are_damaged_are_refused_in_a_line(made: Made) -> None:
    for coming in made.search.waiting:
        if coming.trial.checkpoint is not None:
            path = made.folder.root / coming.trial.checkpoint
            path.write_bytes(path.read_bytes()[:200])
    recorder = made.run()
    assert made.models() == {}
    line = recorder.warnings[-1]
    assert f"refused {len(made.front)} updates" in line
    assert "cannot be read" in line
    result = sync_search(made.folder, make_spec(), made.log, ended(), made.uri)
    assert result.num_waiting == 0


def register(made: Made, name: str, pick: str) -> list[str]:
    exported = tunebox.export(
        made.folder.name,
        pick=pick,
        register=name,
        out=made.folder.root.parent,
        tracking_uri=made.uri,
    )
    assert exported.folders == []
    return exported.registered


def test_a_pick_becomes_a_version_with_an_alias(made: Made) -> None:
    made.run()
    [line] = register(made, "robust", "knee")
    version = made.client.get_model_version_by_alias("robust", "knee")
    trial_id = version.tags["tunebox.trial_id"]
    assert line == f"models:/robust@knee is trial {trial_id}"
    assert trial_id in made.front
    assert version.source == made.models()[trial_id].artifact_location
    assert version.tags["tunebox.search"] == "s-1"
    assert version.tags["tunebox.pick"] == "knee"
    metrics = made.log.trials[trial_id].last_metrics
    assert float(version.tags["clean_accuracy"]) == pytest.approx(
        metrics["clean_accuracy"], rel=1e-5
    )
    description = str(version.description)
    assert description.startswith(f"# Trial {trial_id} of the search s-1")
    assert "## Input and output" in description
    register(made, "robust", "knee")
    assert len(made.client.search_model_versions("name = 'robust'")) == 1
    assert register(made, "robust", f"{made.front[0]}") != []
    assert sorted(made.models()) == sorted(made.front)


def test_a_version_carries_the_means_over_new_seeds(made: Made) -> None:
    made.run()
    found, other = made.front[:2]
    means = {"clean_accuracy": Estimate(0.8125, 0.02), "noisy_accuracy": Estimate(0.4, 0.031)}
    test = {"clean_accuracy": Estimate(0.79, math.nan)}
    guesses = {name: mean.value for name, mean in means.items()}
    row = ConfirmedTrial(found, 3, 0, {}, means, test, guesses, 0.75, on_front=True)
    volume = Estimate(0.5, 0.01)
    write_confirmed(made.folder, Confirmed([row], volume, {}, objectives=tuple(means)))
    register(made, "robust", found)
    register(made, "robust", other)
    versions = {
        version.tags["tunebox.trial_id"]: version
        for version in made.client.search_model_versions("name = 'robust'")
    }
    tags = {name: value for name, value in versions[found].tags.items() if "confirmed" in name}
    assert tags == {
        "confirmed/clean_accuracy": "0.8125",
        "confirmed/clean_accuracy/half_width": "0.02",
        "confirmed/noisy_accuracy": "0.4",
        "confirmed/noisy_accuracy/half_width": "0.031",
        "confirmed/test/clean_accuracy": "0.79",
    }
    assert versions[found].tags["tunebox.new_seeds"] == "3"
    assert "## The same settings with other seeds" in str(versions[found].description)
    assert not any("confirmed" in name for name in versions[other].tags)


def test_a_server_gets_models_that_are_registered_and_loaded(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "server").mkdir()
    server = MlflowServer(tmp_path / "server")
    server.start()
    try:
        server.wait(240)
        made.uri, made.client = server.uri, MlflowClient(tracking_uri=server.uri)
        assert made.run().warnings == []
        models = made.models()
        assert sorted(models) == sorted(made.front)
        assert {model.status for model in models.values()} == {LoggedModelStatus.READY}
        register(made, "robust", "knee")
        version = made.client.get_model_version_by_alias("robust", "knee")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        served = mlflow.pyfunc.load_model("models:/robust@knee")
        with torch.no_grad():
            network = made.networks[version.tags["tunebox.trial_id"]]
            expected = network(torch.from_numpy(images())).softmax(dim=1)
        assert list(served.predict(images())["class"]) == [NAMES[k] for k in expected.argmax(dim=1)]
        again = sync_search(made.folder, make_spec(), made.log, ended(), made.uri)
        assert (again.num_delivered, again.num_waiting, again.refusals) == (0, 0, [])
    finally:
        server.kill()


def test_a_trial_that_is_trained_again_names_its_search_and_data(made: Made) -> None:
    made.run()
    out, home = made.folder.root.parent, made.folder.root.parent.parent
    [folder] = tunebox.export("s-1", pick="knee", to=home, out=out, format=None).folders
    trained = tunebox.train(
        folder / "trial.yaml", max_epochs=1, out=out, to=home / "again", tracking_uri=made.uri
    )
    [run] = made.client.search_runs(["1"], "tags.`tunebox.kind` = 'training'")
    assert trained.warnings == []
    assert run.data.tags["tunebox.search"] == "s-1"
    assert run.data.tags["tunebox.trial_id"] == folder.name
    assert run.inputs is not None
    [used] = run.inputs.dataset_inputs
    described = json.loads((home / "again" / "model.json").read_bytes())
    assert used.dataset.digest == described["data"]["sha256"][:36]


def test_a_search_that_mlflow_does_not_have_is_one_line(made: Made) -> None:
    recorder = made.run()
    assert recorder.warnings == []
    for run in made.client.search_runs(["1"]):
        made.client.delete_run(run.info.run_id)
    with pytest.raises(RecordsError, match=r"has no run in MLflow; .*tunebox sync"):
        register(made, "robust", "knee")


def test_a_registered_model_is_served(made: Made, tmp_path: Path) -> None:
    made.run()
    register(made, "robust", "knee")
    trial_id = made.client.get_model_version_by_alias("robust", "knee").tags["tunebox.trial_id"]
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/robust@knee"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    variables = {
        "MLFLOW_TRACKING_URI": made.uri,
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
    }
    with (tmp_path / "served.log").open("wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **variables}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            answer = ask(f"http://127.0.0.1:{port}", {"inputs": images(2).tolist()})
        finally:
            os.killpg(process.pid, 15)
            process.wait(30)
    with torch.no_grad():
        expected = made.networks[trial_id](torch.from_numpy(images(2))).softmax(dim=1)
    predictions = answer["predictions"]
    assert [one["class"] for one in predictions] == [NAMES[k] for k in expected.argmax(dim=1)]
    found = [[one["probabilities"][name] for name in NAMES] for one in predictions]
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4)


def ask(server: str, content: dict[str, Any]) -> dict[str, Any]:
    """Ask a server that is starting."""
    deadline = time.monotonic() + 120
    while True:
        try:
            answer = requests.post(f"{server}/invocations", json=content, timeout=60)
            break
        except requests.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.5)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found
