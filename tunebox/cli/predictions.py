"""Predictions for a terminal, and for other programs."""

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tunebox.text import printable

if TYPE_CHECKING:
    from tunebox.verbs.predict import Prediction, PredictResult


def predictions_table(result: "PredictResult") -> Table:
    """Return a row for each image: the two most probable classes, and how it is unlike others."""
    table = Table(box=None, pad_edge=False)
    table.add_column("image", overflow="fold")
    table.add_column("class", overflow="fold")
    table.add_column("probability", justify="right")
    table.add_column("next", overflow="fold")
    has_unlike = any(prediction.unlike for prediction in result.predictions)
    if has_unlike:
        table.add_column("unlike the images of the training", overflow="fold")
    for prediction in result.predictions:
        unlike = [Text("; ".join(prediction.unlike))] if has_unlike else []
        table.add_row(
            Text(printable(str(prediction.file))),
            Text(printable(prediction.class_name)),
            f"{prediction.probability:.1%}",
            Text(_second(prediction)),
            *unlike,
        )
    return table


def _second(prediction: "Prediction") -> str:
    others = {
        name: share
        for name, share in prediction.probabilities.items()
        if name != prediction.class_name
    }
    if not others:
        return ""
    name = max(others, key=lambda other: others[other])
    return f"{printable(name)} {others[name]:.1%}"


def predictions_data(result: "PredictResult") -> dict[str, Any]:
    """Return plain data: all predictions, and the files that cannot be read with the reason."""
    return {
        "predictions": [
            {
                "file": str(prediction.file),
                "class": prediction.class_name,
                "probability": prediction.probability,
                "probabilities": prediction.probabilities,
                "unlike": prediction.unlike,
            }
            for prediction in result.predictions
        ],
        "bad_files": [{"file": bad.name, "reason": bad.reason} for bad in result.bad],
    }
