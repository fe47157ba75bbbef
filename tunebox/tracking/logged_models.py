"""Weights of trials as logged models of MLflow, and as versions in its registry.

The calls block, and raise what MLflow raises. To send a model again changes nothing: what MLflow
has of it is looked up first.
"""

import shutil
import tempfile
import threading
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
from mlflow.entities import (
    Dataset,
    DatasetInput,
    LoggedModel,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
)
from mlflow.models import Model, ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types.schema import ColSpec, DataType, Map, Schema, TensorSpec

from tunebox.errors import RecordsError
from tunebox.records.files import write_json
from tunebox.records.trial_model import TrialModel, model_of_trial
from tunebox.tracking import served_model, values
from tunebox.tracking.datasets import dataset_input
from tunebox.tracking.runs import MODEL_TAG, ModelSource, uncharted

_SERVED = "tunebox_served_model"  # the name of the module in a logged model
_LARGEST_EXAMPLE = 20_000  # values of an example, which MLflow keeps as text
_PACKAGES = ("mlflow", "torch", "numpy", "pandas")
_building = threading.Lock()  # torch's export keeps its state in globals


class LoggedModels:
    """The logged models of one experiment."""

    def __init__(self, client: MlflowClient, experiment_id: str) -> None:
        self._client = client
        self._experiment_id = experiment_id

    def of_run(self, run_id: str) -> list[LoggedModel]:
        """Return the models that a run has made, those that are deleted aside."""
        found: list[LoggedModel] = list(
            self._client.search_logged_models(
                [self._experiment_id], filter_string=f"source_run_id = '{run_id}'"
            )
        )
        return found

    def send(
        self, run_id: str, source: ModelSource, parent_id: str | None
    ) -> tuple[LoggedModel, str]:
        """Make the model of a run what ``source`` has, unless it is that already.

        Args:
            run_id: The run of the trial.
            source: The trial and its weights.
            parent_id: The run of the search, which gets the data set as its input too.

        Returns:
            The model, and its card.

        Raises:
            RecordsError: The weights are gone or damaged, or the model cannot be written.
        """
        model = None
        for found in self.of_run(run_id):
            if found.tags.get(MODEL_TAG) == source.mark:
                model = found
            else:
                self._client.delete_logged_model(found.model_id)
        with tempfile.TemporaryDirectory() as place:
            made = _built(source, Path(place))
            if model is None:
                model = self._create(run_id, source)
            if model.status != LoggedModelStatus.READY:
                folder = _write(model, made, source, Path(place))
                self._client.log_model_artifacts(model.model_id, str(folder))
                model = self._client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        self._link(run_id, model, source, dataset_input(made.description), parent_id)
        return model, made.card

    def delete(self, run_id: str) -> None:
        """Delete the models of a run."""
        for model in self.of_run(run_id):
            self._client.delete_logged_model(model.model_id)

    def _create(self, run_id: str, source: ModelSource) -> LoggedModel:
        trial = source.trial
        params = {values.key(k): values.param(v) for k, v in trial.settings.items()}
        return self._client.create_logged_model(
            self._experiment_id,
            name=source.name,
            source_run_id=run_id,
            tags={
                MODEL_TAG: source.mark,
                "tunebox.search": source.folder.name,
                "tunebox.trial_id": trial.trial_id,
            },
            params=params,
            model_type="image-classification",
        )

    def _link(
        self,
        run_id: str,
        model: LoggedModel,
        source: ModelSource,
        dataset: DatasetInput | None,
        parent_id: str | None,
    ) -> None:
        """Link the model with its run, its metrics and its data; what is linked stays so."""
        run = self._client.get_run(run_id)
        outputs = [] if run.outputs is None else run.outputs.model_outputs
        if model.model_id not in [output.model_id for output in outputs]:
            output = LoggedModelOutput(model.model_id, step=source.trial.epochs)
            self._client.log_outputs(run_id, [output])
        if dataset is not None:
            for one in [run_id, parent_id]:
                if one is not None:
                    self._client.log_inputs(one, datasets=[dataset])
        has = {metric.key for metric in model.metrics or []}
        metrics = _metrics(model, run_id, source, dataset.dataset if dataset else None)
        lacking = [metric for metric in metrics if metric.key not in has]
        if lacking:
            self._client.log_batch(run_id, metrics=lacking)


def _metrics(
    model: LoggedModel, run_id: str, source: ModelSource, dataset: Dataset | None
) -> list[Metric]:
    last = source.trial.history[-1]
    left_out = uncharted(source.spec.objective_set, source.spec.constraint_set)
    about = (
        {}
        if dataset is None
        else {
            "dataset_name": dataset.name,
            "dataset_digest": dataset.digest,
        }
    )
    return [
        Metric(
            values.key(name),
            float(value),
            values.milliseconds(last.time),
            last.epoch,
            model_id=model.model_id,
            run_id=run_id,
            **about,
        )
        for name, value in last.metrics.items()
        if name not in left_out
    ]


def _built(source: ModelSource, place: Path) -> TrialModel:
    with _building:
        made = model_of_trial(
            source.folder,
            source.spec,
            source.trial,
            place,
            format="torch_export",
            confirmed=source.confirmed,
        )
    if made.problems or made.standalone is None:
        raise RecordsError("; ".join(made.problems) or "the trial has no weights")
    return made


def _write(model: LoggedModel, made: TrialModel, source: ModelSource, place: Path) -> Path:
    """Write a model in MLflow's form below ``place``; return its folder."""
    assert made.standalone is not None
    data, code, folder = place / "network", place / f"{_SERVED}.py", place / "mlflow"
    data.mkdir()
    shutil.move(made.standalone.path, data / served_model.NETWORK_FILE)
    write_json(data / served_model.DESCRIPTION_FILE, made.description)
    shutil.copyfile(served_model.__file__, code)
    shape = tuple(made.description["input"][side] for side in ("channels", "height", "width"))
    written: Any = Model(
        artifact_path=model.artifact_location,
        run_id=model.source_run_id,
        model_uuid=model.model_id,
        model_id=model.model_id,
    )
    # as mlflow.pytorch writes it, which then loads the network itself
    written.add_flavor("pytorch", model_data=f"data/{data.name}", pytorch_version=_torch_version())
    mlflow.pyfunc.save_model(
        str(folder),
        loader_module=_SERVED,
        data_path=str(data),
        code_paths=[str(code)],
        mlflow_model=written,
        signature=_signature(shape),
        input_example=_example(shape),
        pip_requirements=[f"{name}=={version(name)}" for name in _PACKAGES],
    )
    (folder / "README.md").write_text(made.card, encoding="utf-8")
    return folder


def _torch_version() -> str:
    import torch

    return str(torch.__version__)  # with the part behind a +, as MLflow compares it


def _signature(shape: Sequence[int]) -> ModelSignature:
    images = TensorSpec(np.dtype(np.float32), (-1, *shape), name=None)
    return ModelSignature(
        inputs=Schema([images]),
        outputs=Schema(
            [
                ColSpec(DataType.string, "class"),
                ColSpec(DataType.double, "probability"),
                ColSpec(Map(DataType.double), "probabilities"),
            ]
        ),
    )


def _example(shape: Sequence[int]) -> Any:
    """Return one black image, which shows the shape and nothing of the data."""
    return None if np.prod(shape) > _LARGEST_EXAMPLE else np.zeros((1, *shape), np.float32)
