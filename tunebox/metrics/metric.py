"""What a metric is. Imports no torch, so that a search file is checked without it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    Prediction = tuple[Tensor, Tensor]  # logits (B, K), labels (B,)
    Compute = Callable[[Sequence[Prediction]], Tensor]
    Batch = tuple[Tensor, Tensor]  # images (B, C, H, W) in [0, 1], labels (B,)

Direction = Literal["maximize", "minimize"]
Cadence = Literal["epoch", "rung", "end"]
Unit = Literal["share", "nats", "score", "loss", "seconds", "images/s", "numbers", "degrees", "1"]


@dataclass(frozen=True)
class Metric:
    """A number that a trial reports.

    Attributes:
        name: Key of the metric in a report.
        meaning: One line about the metric.
        unit: Unit of the value; a share is shown in percent.
        direction: Which way is better; None where neither is, such as for a learning rate.
        range: Lowest and highest value that the metric can have.
        cadence: When the metric is computed: after every epoch, at the rungs and at the end, or
            after the last epoch only.
        compute: The scalar of all predictions, given batch by batch; None for a metric that the
            training loop measures itself, and for one that needs the model.
    """

    name: str
    meaning: str
    unit: Unit
    direction: Direction | None
    range: tuple[float, float] = (0.0, math.inf)
    cadence: Cadence = "epoch"
    compute: Compute | None = None

    def is_due(self, epoch: int, *, rungs: Collection[int], max_epochs: int) -> bool:
        """Return whether the metric is computed after ``epoch`` epochs of ``max_epochs``."""
        if epoch == max_epochs or self.cadence == "epoch":
            return True
        return self.cadence == "rung" and epoch in rungs

    @property
    def has_best_epoch(self) -> bool:
        """Whether the best epoch of a trial is of interest; that of a cost is not."""
        return self.direction is not None and self.unit not in ("seconds", "images/s", "numbers")


class Model(Protocol):
    """What a metric may use of a classifier; see `tunebox.models.base.Classifier`."""

    head: nn.Linear

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits ``(B, K)`` of images in [0, 1], ``(B, C, H, W)``."""

    def features(self, images: Tensor) -> Tensor:
        """Return what goes into the head, ``(B, D)``."""

    def normalize(self, images: Tensor) -> Tensor:
        """Return images as the backbone takes them."""

    def backbone(self, inputs: Tensor) -> Tensor:
        """Return the features ``(B, D)`` of normalised images."""
