"""The images of a training as a data set of MLflow: its name, its digest, images by part."""

import json
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag

_DIGEST_LENGTH = 36  # what MLflow takes of one
_MOST_SOURCE = 4000


def dataset_input(description: Mapping[str, Any]) -> DatasetInput | None:
    """Return the data that a model was trained on, as an input of its run.

    Args:
        description: Content of ``model.json``.

    Returns:
        None if nothing is known of the images, as of models of earlier versions.
    """
    data = description["data"]
    if "sha256" not in data:
        return None
    settings = data["settings"]
    dataset = Dataset(
        name=str(settings.get("root") or settings["kind"])[:500],
        digest=data["sha256"][:_DIGEST_LENGTH],
        source_type="tunebox",
        source=json.dumps(settings)[:_MOST_SOURCE],
        schema=None,
        profile=json.dumps({f"num_{part}": count for part, count in data["num_images"].items()}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])
