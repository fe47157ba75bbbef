"""Accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

from tunebox.metrics.metric import Metric

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.metrics.metric import Prediction


def accuracy(predictions: Sequence[Prediction]) -> Tensor:
    """Return the share of correct predictions, float64."""
    correct = [(logits.argmax(dim=1) == labels).sum().double() for logits, labels in predictions]
    return reduce(add, correct) / sum(len(labels) for _, labels in predictions)


METRICS = (
    Metric(
        "accuracy",
        "share of validation images classified correctly",
        "share",
        "maximize",
        (0.0, 1.0),
        compute=accuracy,
    ),
)
