"""The loss terms of a training step, and their weighted sum.

Shapes: B images, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from tunebox.errors import DataError
from tunebox.losses.context import BatchNorm, StepContext, View
from tunebox.losses.settings import LossesSettings, TermContext, Views
from tunebox.noise.gaussian import GaussianSettings


class LossTerm(nn.Module):
    """One term: a scalar of the step.

    Its parameters are trained with those of the model, without weight decay. What it remembers is
    a buffer that it updates in place. Both are saved in checkpoints.
    """

    def forward(self, step: StepContext) -> Tensor:
        """Return a finite scalar."""
        raise NotImplementedError


class FunctionTerm(LossTerm):
    """A term that remembers nothing: a function of the step."""

    def __init__(self, function: Callable[[StepContext], Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, step: StepContext) -> Tensor:
        """Return a finite scalar."""
        return self._function(step)


def mean_over_views(
    step: StepContext, views: Views, value: Callable[[StepContext, View], Tensor]
) -> Tensor:
    """Return the mean of ``value`` over ``views``, each the mean over the copies that it has."""
    return _mean([_mean([value(step, copy) for copy in step.copies_of(name)]) for name in views])


def _mean(values: Sequence[Tensor]) -> Tensor:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total if len(values) == 1 else total / len(values)


def build_losses(
    settings: LossesSettings, *, num_classes: int, feature_dim: int, num_images: int = 0
) -> WeightedLosses:
    """Return the weighted terms of ``settings``, with nothing remembered yet.

    Args:
        settings: The terms and their weights, not all 0.
        num_classes: Classes of the data set.
        feature_dim: Length of a feature.
        num_images: Images of the training set.

    Raises:
        DataError: A term needs more classes.
    """
    std = settings.noise.std if isinstance(settings.noise, GaussianSettings) else None
    context = TermContext(num_classes, feature_dim, num_images, std)
    active = settings.active_terms
    for name, term in active.items():
        if num_classes < term.min_classes:
            raise DataError(
                f"losses/{name} needs at least {term.min_classes} classes, the data set has "
                f"{num_classes}"
            )
    terms = {name: term.build(context) for name, term in active.items()}
    return WeightedLosses(terms, {name: term.weight for name, term in active.items()})


class WeightedLosses(nn.Module):
    """The training loss: the sum of weighted terms, in float32 whatever the autocast.

    Args:
        terms: Loss terms by name.
        weights: Weights by the same names; a term with weight 0 is left out.
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

    def forward(self, context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the total and the detached, unweighted value of each term, all scalars.

        Half-precision views are taken up to float32; float64 stays float64.
        """
        context = _at_least_float32(context)
        with torch.autocast(context.labels.device.type, enabled=False):
            values = {name: term(context) for name, term in self._active}
            parts = [self._weighted(name, value) for name, value in values.items()]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total, {name: value.detach() for name, value in values.items()}

    def _weighted(self, name: str, value: Tensor) -> Tensor:
        weight = self._weights[name]
        return value if weight == 1 else weight * value


def _at_least_float32(context: StepContext) -> StepContext:
    def forward(
        images: Tensor, *, batch_norm: BatchNorm = "update", second_order: bool = False
    ) -> View:
        return _raised(context.forward(images, batch_norm=batch_norm, second_order=second_order))

    views = {name: _raised(view) for name, view in context.views.items()}
    copies = tuple(_raised(copy) for copy in context.noisy_copies)
    return replace(context, views=views, forward=forward, noisy_copies=copies)


def _raised(view: View) -> View:
    dtype = torch.promote_types(view.features.dtype, torch.float32)
    return View(view.features.to(dtype), view.logits.to(dtype))
