"""Cross-entropy, with or without smooth labels.

[Szegedy2016] C. Szegedy et al. Rethinking the Inception Architecture for Computer Vision. CVPR
    2016.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tunebox.losses.settings import BaseLossSettings

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.losses.context import StepContext, View


class CrossEntropySettings(BaseLossSettings):
    """Cross-entropy on the clean view, the noisy view, or the mean over both.

    Formula: -log p_y
    Good for: the baseline; on `noisy` or `both` it is training with noise.
    Deviates: no.
    """

    kind: Literal["cross_entropy"] = "cross_entropy"

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return the mean cross-entropy, in nats."""
        from torch.nn import functional

        return functional.cross_entropy(view.logits, step.labels)


class LabelSmoothingSettings(BaseLossSettings):
    """Cross-entropy with a share of each label spread evenly over all classes [Szegedy2016].

    Formula: -(1 - e) log p_y - (e / C) sum_k log p_k
    Good for: calibration, and against over-confident fits; label noise of a small rate.
    Deviates: no.
    """

    kind: Literal["label_smoothing"] = "label_smoothing"
    smoothing: float = Field(0.1, ge=0, lt=1)  # e, the share that is spread

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return the mean cross-entropy with the smooth labels, in nats."""
        from torch.nn import functional

        return functional.cross_entropy(view.logits, step.labels, label_smoothing=self.smoothing)
