"""User-defined metrics in ``evaluation/metrics``. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from tunebox.metrics.metric import Cadence, Direction, Metric
from tunebox.parts.part import Part

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.metrics.metric import Prediction


class MetricSettings(Part):
    """Settings of a user-defined metric: a function of logits and labels.

    Attributes of the function give the defaults of its settings: ``top2.direction = "maximize"``.
    """

    group = "metric"
    package = "tunebox.metrics"
    supplied = ("logits", "labels")

    name: str | None = None  # null: the name of the function
    on: Literal["clean", "noisy", "both"] = "both"  # view of the validation images
    direction: Direction | None = None  # whether higher or lower is better
    cadence: Cadence | None = None  # null: after every epoch

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
