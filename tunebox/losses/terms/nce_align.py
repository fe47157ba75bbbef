"""Features that recognise their image at another noise level.

[Lei2025] J. Lei et al. Robust Representation Consistency Model via Contrastive Denoising. ICLR
    2025. arXiv 2501.13094.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tunebox.losses.settings import Family, TermContext, TermSettings, Views

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.losses.base import LossTerm
    from tunebox.losses.context import StepContext


class NceAlignSettings(TermSettings):
    """A noisy feature should be nearest to that of its own, less noisy image [Lei2025].

    Formula: log sum_b exp(cos(f'_a, h_b) / t) - cos(f'_a, h_a) / t, h: features of x + r n, the
        noisy image being x + n, without a gradient
    Good for: noise, beside a base loss; needs no labels. Published t: 0.2.
    Deviates: the consistency part of a pretraining of many noise levels, here two levels of which
        the share r is a setting. Batches should be large, since other images are what it tells
        apart.
    """

    family: ClassVar[Family] = "smoothing"
    needs_same_view: ClassVar[bool] = True
    cost: ClassVar[str | None] = "1, and 1 without backward"
    kind: Literal["nce_align"] = "nce_align"
    temperature: float = Field(0.2, gt=0, le=100)  # t
    ratio: float = Field(0.5, ge=0, lt=1)  # r, share of the noise on the less noisy side
    mask_same_class: bool = False  # whether other images of the same class are left out

    @property
    def views(self) -> Views:
        """The views that the term looks at."""
        return ("noisy",)

    @property
    def image_views(self) -> Views:
        """The views whose images the term needs."""
        return ("clean", "noisy")

    def build(self, context: TermContext) -> LossTerm:
        """Return the term."""
        from tunebox.losses.base import FunctionTerm

        return FunctionTerm(self._value)

    def _value(self, step: StepContext) -> Tensor:
        import torch

        from tunebox.losses.smoothing import info_nce

        clean, noisy = step.images["clean"], step.images["noisy"]
        with torch.no_grad():
            others = step.forward(clean + self.ratio * (noisy - clean)).features
        labels = step.labels if self.mask_same_class else None
        return info_nce(step.noisy.features, others, self.temperature, labels).mean()
