"""Training with images whose attributes are attacked; they are in `tunebox.losses.attributes`.

[Gokhale2021] T. Gokhale et al. Attribute-Guided Adversarial Training for Robustness to Natural
    Perturbations. AAAI 2021. arXiv 2012.01806.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tunebox.losses.settings import Family, TermContext, TermSettings, Views

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.losses.base import LossTerm
    from tunebox.losses.context import StepContext

_NUM_ATTRIBUTES = 4
_MOST = 1 - 1e-6  # of a probability whose complement has a finite logarithm


class AgatSettings(TermSettings):
    """Cross-entropy of images whose blur, contrast and noise are attacked [Gokhale2021].

    Formula: -log p_y(T_b x), b: `steps` steps of ascent in [0, 1]^4 on -log p_y(T_b x) +
        BCE(p(T_b x), p(x)) - g (mean (s(z(T_b x)) - s(z(x)))^2 + mean b^2 + mean |b|), s the
        logistic function
    Good for: natural changes of images, beside `cross_entropy: {on: clean}`. Published: g = 5, 10
        steps.
    Deviates: ascent with unit steps in each training step; the published code neither moves b nor
        lets a gradient reach it, so that it adds noise of random strength to 30 % of the images.
    """

    family: ClassVar[Family] = "adversarial"
    cost: ClassVar[str | None] = "`steps` + 1, and 1 without backward"
    kind: Literal["agat"] = "agat"
    steps: int = Field(3, ge=1, le=100)  # of the attack
    step_size: float = Field(0.25, gt=0, le=2)  # length of a step in [0, 1]^4
    penalty: float = Field(5.0, ge=0, le=1000)  # g
    blur: float = Field(1.0, ge=0, le=10)  # standard deviation at b = 1, in pixels
    contrast: float = Field(0.5, ge=0, le=1)  # share of the contrast taken away at b = 1
    brightness: float = Field(0.2, ge=-1, le=1)  # added at b = 1
    noise: float = Field(0.1, ge=0, le=10)  # standard deviation at b = 1

    @property
    def views(self) -> Views:
        """None: the term looks at changed images, which it makes."""
        return ()

    @property
    def image_views(self) -> Views:
        """The views whose images the term needs."""
        return ("clean",)

    def build(self, context: TermContext) -> LossTerm:
        """Return the term."""
        from tunebox.losses.base import FunctionTerm

        return FunctionTerm(self._value)

    def _value(self, step: StepContext) -> Tensor:
        import torch
        from torch.nn import functional

        from tunebox.losses.attributes import Attributes
        from tunebox.metrics.attacks import gradient, normal_like
        from tunebox.models.layers import unit_rows

        images = step.images["clean"].detach()
        attributes = Attributes(self.blur, self.contrast, self.brightness, self.noise)
        noise = normal_like(images, step.generator)
        with torch.no_grad():
            clean = step.forward(images, batch_norm="frozen").logits

        def gain(b: Tensor) -> Tensor:
            changed = attributes.change(images, b, noise)
            logits = step.forward(changed, batch_norm="frozen").logits
            return self.gain(logits, clean, step.labels, b)

        size = (len(images), _NUM_ATTRIBUTES)
        b = torch.rand(size, generator=step.generator, dtype=images.dtype, device=images.device)
        for _ in range(self.steps):
            b = (b + self.step_size * unit_rows(gradient(gain, b))).clamp(0, 1)
        changed = attributes.change(images, b, noise)
        return functional.cross_entropy(step.forward(changed).logits, step.labels)

    def gain(self, logits: Tensor, clean: Tensor, labels: Tensor, b: Tensor) -> Tensor:
        """Return what the attack makes large for each image, ``(B,)``.

        Args:
            logits: Of the changed images, ``(B, K)``.
            clean: Of the clean images, ``(B, K)``, constant.
            labels: ``(B,)``.
            b: Attributes, ``(B, 4)``.
        """
        import torch
        from torch.nn import functional

        loss = functional.cross_entropy(logits, labels, reduction="none")
        log_p, p_clean = functional.log_softmax(logits, dim=1), clean.softmax(dim=1)
        # by hand: torch's own raises an error when a diverged model gives NaN
        log_rest = torch.log1p(-log_p.exp().clamp(max=_MOST))
        apart = -(p_clean * log_p + (1 - p_clean) * log_rest).mean(dim=1)
        moved = (logits.sigmoid() - clean.sigmoid()).square().mean(dim=1)
        strength = b.square().mean(dim=1) + b.abs().mean(dim=1)
        return loss + apart - self.penalty * (moved + strength)
