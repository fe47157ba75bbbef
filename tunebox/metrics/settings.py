"""Metrics with settings in ``evaluation/metrics``: built-in ones and user-defined ones.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from pydantic import Field
from typing_extensions import Self

from tunebox.metrics.metric import Cadence, Direction, Metric
from tunebox.parts.part import Part
from tunebox.settings import MOST_IMAGES

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.metrics.metric import Batch, Model, Prediction

Norm: TypeAlias = Literal["linf", "l2"]


class MetricSettings(Part):
    """Settings of a metric that has any."""

    group = "metric"
    package = "tunebox.metrics"
    supplied = ("logits", "labels")

    name: str | None = None  # null: the usual name
    cadence: Cadence | None = None  # null: after every epoch

    @classmethod
    def of_own_code(cls) -> type[Self]:
        """Return the base class for user-defined metrics."""
        return OwnMetricSettings  # type: ignore[return-value]

    def metrics(self) -> list[Metric]:
        """Return the metrics that are reported."""
        raise NotImplementedError


class ModelMetricSettings(MetricSettings):
    """Settings of a metric that needs the model and clean images, not predictions alone.

    Attributes:
        images: How many images of the part are used, taken evenly from it; None for all.
        reported: The metrics under their usual names; a name of its own stands before them.
    """

    images: int | None = Field(None, ge=1, le=MOST_IMAGES)  # number of images used; null: all
    reported: ClassVar[tuple[Metric, ...]]

    def metrics(self) -> list[Metric]:
        """Return the metrics that are reported."""
        return [
            replace(metric, name=self.reported_name(metric), cadence=self.cadence or metric.cadence)
            for metric in self.reported
        ]

    def reported_name(self, metric: Metric) -> str:
        """Return the name under which ``metric``, one of `reported`, is reported."""
        return metric.name if self.name is None else f"{self.name}_{metric.name}"

    def measure(self, model: Model, batches: Sequence[Batch], seed: int) -> dict[str, float]:
        """Return the metrics under their usual names.

        Args:
            model: In evaluation mode.
            batches: Images ``(B, C, H, W)`` in [0, 1] and labels, on the device of the model.
            seed: Random seed of whatever is drawn.
        """
        raise NotImplementedError


class OwnMetricSettings(MetricSettings):
    """Settings of a user-defined metric: a function of logits and labels.

    Attributes of the function give the defaults of its settings: ``top2.direction = "maximize"``.
    """

    on: Literal["clean", "noisy", "both"] = "both"  # view of the validation images
    direction: Direction | None = None  # whether higher or lower is better

    def metrics(self) -> list[Metric]:
        """Return the metrics that are reported: ``clean_<name>``, ``noisy_<name>`` or both."""
        code: Any = self.code
        name = str(self.name or getattr(code, "__name__", "metric"))
        meaning = (code.__doc__ or name).strip().splitlines()[0]
        direction: Direction | None = self.direction or getattr(code, "direction", None)
        of_code: Cadence = getattr(code, "cadence", "epoch")
        images = ("clean", "noisy") if self.on == "both" else (self.on,)
        return [
            Metric(
                f"{which}_{name}",
                meaning,
                getattr(code, "unit", "1"),
                direction,
                cadence=self.cadence or of_code,
                compute=self.compute,
            )
            for which in images
        ]

    def compute(self, predictions: Sequence[Prediction]) -> Tensor:
        """Return the metric, a scalar, from logits ``(N, K)`` and labels ``(N,)`` of all images."""
        import torch

        logits = torch.cat([logits for logits, _ in predictions])
        labels = torch.cat([labels for _, labels in predictions])
        value = self.call(logits=logits, labels=labels)
        return torch.as_tensor(float(value), dtype=torch.float64, device=logits.device)
