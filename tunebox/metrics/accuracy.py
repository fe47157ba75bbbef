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


def worst_class_accuracy(predictions: Sequence[Prediction]) -> Tensor:
    """Return the lowest accuracy of a class, float64; classes without an image do not count."""
    return class_accuracies(predictions).nan_to_num(nan=1.0).min()


def class_accuracies(predictions: Sequence[Prediction]) -> Tensor:
    """Return the accuracy of each class, ``(K,)`` float64; NaN for a class without an image."""
    import torch

    correct = torch.cat([logits.argmax(dim=1) == labels for logits, labels in predictions])
    labels = torch.cat([labels for _, labels in predictions])
    num_classes = predictions[0][0].shape[1]
    zeros = torch.zeros(num_classes, dtype=torch.float64, device=labels.device)
    hits = zeros.index_add(0, labels, correct.double())
    counts = zeros.index_add(0, labels, torch.ones_like(labels, dtype=torch.float64))
    return hits / counts  # 0 / 0 is NaN


METRICS = (
    Metric(
        "accuracy",
        "share of validation images classified correctly",
        "share",
        "maximize",
        (0.0, 1.0),
        compute=accuracy,
    ),
    Metric(
        "worst_class_accuracy",
        "accuracy of the class with the lowest one",
        "share",
        "maximize",
        (0.0, 1.0),
        compute=worst_class_accuracy,
    ),
)
