"""A line of the table of ``tunebox evaluate``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RobustnessRow:
    """How a model does on perturbed test images.

    Attributes:
        perturbation: Name, such as ``clean``, ``search_noise``, ``gaussian``, ``fog`` or
            ``pgd_linf``.
        strength_name: What ``strength`` is, as in the settings of the noise.
        strength: 0 for ``clean`` and ``search_noise``.
        accuracy: Share of correct predictions, 0 to 1.
        loss: Mean cross-entropy in nats; None where it means nothing.
    """

    perturbation: str
    strength_name: str
    strength: float
    accuracy: float
    loss: float | None
