"""What a loss term sees, and the weighted sum of the terms.

Shapes: B images, D feature values, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class View:
    """What the classifier makes of one view of a batch.

    Attributes:
        features: ``(B, D)``.
        logits: ``(B, C)``.
    """

    features: Tensor
    logits: Tensor


@dataclass(frozen=True)
class Views:
    """A batch as the terms see it; a view that no term needs may be absent.

    Attributes:
        labels: ``(B,)``, int64.
        one_hot: ``(B, C)``, float: 1 at the label, 0 elsewhere.
        head: The linear layer from features to logits.
        clean_view: Of the images without noise.
        noisy_view: Of the noisy images, in the same order.
    """

    labels: Tensor
    one_hot: Tensor
    head: nn.Linear
    clean_view: View | None = None
    noisy_view: View | None = None

    @property
    def clean(self) -> View:
        """The clean view, for a term that needs it."""
        assert self.clean_view is not None, "the loop left out the clean view"
        return self.clean_view

    @property
    def noisy(self) -> View:
        """The noisy view, for a term that needs it."""
        assert self.noisy_view is not None, "the loop left out the noisy view"
        return self.noisy_view


class LossTerm(nn.Module):
    """One term: a scalar of the views. What it remembers is a buffer, so that it is saved."""

    needs_clean_view = True
    needs_noisy_view = True

    def forward(self, views: Views) -> Tensor:
        """Return a finite scalar."""
        raise NotImplementedError


class WeightedLosses(nn.Module):
    """The training loss: the sum of weighted terms, in float32 whatever the autocast.

    Args:
        terms: By name.
        weights: By the same names; a term with weight 0 is left out.
    """

    def __init__(self, terms: Mapping[str, LossTerm], weights: Mapping[str, float]) -> None:
        super().__init__()
        self._weights = {name: weight for name, weight in weights.items() if weight > 0}
        if not self._weights:
            raise ValueError("losses: every weight is 0; give at least one term a weight above 0")
        self._active = [(name, terms[name]) for name in self._weights]
        self.terms = nn.ModuleDict(dict(self._active))

    @property
    def names(self) -> list[str]:
        """The active terms, in the order of the values that a call returns."""
        return list(self._weights)

    @property
    def needs_clean_view(self) -> bool:
        """Whether any active term looks at clean images."""
        return any(term.needs_clean_view for _, term in self._active)

    @property
    def needs_noisy_view(self) -> bool:
        """Whether any active term looks at noisy images."""
        return any(term.needs_noisy_view for _, term in self._active)

    def forward(self, views: Views) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the total and the detached, unweighted value of each term, all scalars.

        Half-precision views are taken up to float32; float64 stays float64.
        """
        views = _at_least_float32(views)
        with torch.autocast(views.labels.device.type, enabled=False):
            values = {name: term(views) for name, term in self._active}
            parts = [self._weighted(name, value) for name, value in values.items()]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total, {name: value.detach() for name, value in values.items()}

    def _weighted(self, name: str, value: Tensor) -> Tensor:
        weight = self._weights[name]
        return value if weight == 1 else weight * value


def _at_least_float32(views: Views) -> Views:
    clean, noisy = _raised(views.clean_view), _raised(views.noisy_view)
    return Views(views.labels, views.one_hot, views.head, clean, noisy)


def _raised(view: View | None) -> View | None:
    if view is None:
        return None
    dtype = torch.promote_types(view.features.dtype, torch.float32)
    return View(view.features.to(dtype), view.logits.to(dtype))
