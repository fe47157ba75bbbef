"""Slopes and curvature of the classifier at an image.

Shapes: B inputs of shape ``...``, K classes, N directions. Every function takes ``logits_of``, from
inputs ``(B, ...)`` to logits ``(B, K)``, in which images do not interact, and returns a value of
each image that can be differentiated with respect to the parameters.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from tunebox.losses.context import StepContext

Logits = Callable[[Tensor], Tensor]


def frozen_logits(step: StepContext) -> Logits:
    """Return the classifier of a step as a function of normalised inputs.

    Batch norm uses its running statistics, since with those of the batch images would interact.
    """
    model = step.model

    def logits_of(inputs: Tensor) -> Tensor:
        images = inputs * model.std + model.mean
        return step.forward(images, batch_norm="frozen", second_order=True).logits

    return logits_of


def input_gradients(logits_of: Logits, inputs: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient of each image's own cross-entropy, ``(B, ...)``, differentiable."""
    inputs = inputs.detach().requires_grad_()
    loss = functional.cross_entropy(logits_of(inputs), labels, reduction="sum")
    [gradients] = torch.autograd.grad(loss, [inputs], create_graph=True)
    return gradients


def squared_lengths(values: Tensor) -> Tensor:
    """Return the squared Euclidean length of each image's values, ``(B,)``."""
    return values.flatten(1).square().sum(dim=1)


def squared_jacobians(logits_of: Logits, inputs: Tensor, directions: Tensor) -> Tensor:
    """Return the squared Frobenius norm of ``d logits / d inputs``, or an estimate, ``(B,)``.

    ``(K / N) sum_v ||J^T v||^2`` has the right mean if the directions are uniform on the sphere,
    and is exact with the K unit vectors.

    Args:
        logits_of: Inputs to logits.
        inputs: ``(B, ...)``.
        directions: ``(N, B, K)``, each of length 1.
    """
    inputs = inputs.detach().requires_grad_()
    logits = logits_of(inputs)
    squares = [
        squared_lengths(torch.autograd.grad((logits * v).sum(), [inputs], create_graph=True)[0])
        for v in directions
    ]
    return logits.shape[1] / len(squares) * torch.stack(squares).sum(dim=0)


def sign_directions(gradients: Tensor) -> Tensor:
    """Return the signs of each image's gradient, scaled to length 1, as a constant."""
    signs = gradients.detach().sign()
    lengths = squared_lengths(signs).sqrt().clamp(min=1)  # at least one sign, or all are 0
    return signs / lengths.view(-1, *[1] * (signs.dim() - 1))


def gradient_changes(
    logits_of: Logits, inputs: Tensor, labels: Tensor, gradients: Tensor, moves: Tensor
) -> Tensor:
    """Return how much each image's gradient changes along its move, ``(B, ...)``.

    Args:
        logits_of: Inputs to logits.
        inputs: ``(B, ...)``.
        labels: ``(B,)``, int64.
        gradients: `input_gradients` at ``inputs``.
        moves: ``(B, ...)``, constant.
    """
    return input_gradients(logits_of, inputs + moves, labels) - gradients
