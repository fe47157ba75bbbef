"""Cross-entropy on one view or on both."""

from typing import Literal

from torch import Tensor
from torch.nn import functional

from tunebox.losses.base import LossTerm, Views


class CrossEntropyTerm(LossTerm):
    """The mean cross-entropy of the logits with the labels.

    Args:
        on: The view that is looked at; ``both`` is the mean over the 2 B samples.
    """

    def __init__(self, on: Literal["clean", "noisy", "both"]) -> None:
        super().__init__()
        self.needs_clean_view = on != "noisy"
        self.needs_noisy_view = on != "clean"

    def forward(self, views: Views) -> Tensor:
        """Return a scalar >= 0, in nats."""
        if not self.needs_noisy_view:
            return functional.cross_entropy(views.clean.logits, views.labels)
        noisy = functional.cross_entropy(views.noisy.logits, views.labels)
        if not self.needs_clean_view:
            return noisy
        # Both views have B samples, so the mean of the means is the mean over all.
        return (functional.cross_entropy(views.clean.logits, views.labels) + noisy) / 2
