"""Cross-entropy, the negative log-likelihood of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

from tunebox.metrics.metric import Metric

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.metrics.metric import Prediction


def cross_entropy(predictions: Sequence[Prediction]) -> Tensor:
    """Return the mean cross-entropy in nats, float64."""
    from torch.nn import functional

    totals = [
        functional.cross_entropy(logits, labels, reduction="sum").double()
        for logits, labels in predictions
    ]
    return reduce(add, totals) / sum(len(labels) for _, labels in predictions)


METRICS = (
    Metric(
        "loss",
        "mean cross-entropy on validation images",
        "nats",
        "minimize",
        compute=cross_entropy,
    ),
)
