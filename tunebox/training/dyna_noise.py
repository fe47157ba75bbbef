"""Noise on the logits of a finished model, against guesses about what it was trained on.

[Forough2026] J. Forough et al. Dynamic Probabilistic Noise Injection for Membership Inference
    Defense. PoPETs 2026.

Shapes: B images, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class DynaNoise:
    """Probabilities of noisy logits; a confident prediction gets more noise [Forough2026].

    ``softmax((z + s n) / T)`` with ``s^2 = v (1 + l R)`` and ``R = 1 - H(p) / log K``, averaged
    over draws of n. The defaults are those of the published runs.

    Attributes:
        variance: v > 0, of the noise where the prediction is uniform.
        growth: l >= 0.
        temperature: T > 0; alone it does not change the predicted class.
        draws: Of the noise, at least 1.
    """

    variance: float = 0.3
    growth: float = 2.0
    temperature: float = 10.0
    draws: int = 1

    def variances(self, logits: Tensor) -> Tensor:
        """Return the variance of each image's noise, ``(B,)``, of logits ``(B, K)``."""
        return self.variance * (1 + self.growth * confidences(logits))

    def probabilities(self, logits: Tensor, generator: torch.Generator) -> Tensor:
        """Return the published probabilities, ``(B, K)``.

        Args:
            logits: ``(B, K)``.
            generator: Draws the noise, on the device of the logits.
        """
        noise = torch.randn(
            (self.draws, *logits.shape),
            generator=generator,
            dtype=logits.dtype,
            device=logits.device,
        )
        noisy = logits + self.variances(logits).sqrt().unsqueeze(1) * noise
        return (noisy / self.temperature).softmax(dim=2).mean(dim=0)


def confidences(logits: Tensor) -> Tensor:
    """Return ``1 - H(p) / log K``, ``(B,)``: 0 for equal probabilities, 1 for a certain one.

    Args:
        logits: ``(B, K)``; a single class has 1.
    """
    log_p = functional.log_softmax(logits, dim=1)
    entropies = torch.special.entr(log_p.exp()).sum(dim=1)
    found: Tensor = (1 - entropies / math.log(max(2, logits.shape[1]))).clamp(0, 1)
    return found
