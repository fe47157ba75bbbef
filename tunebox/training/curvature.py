"""How curved the loss is around an image.

[Nguyen2025] H.-V. Nguyen et al. Training More Robust Classification Model via Discriminative Loss
    and Gaussian Noise Injection. arXiv 2405.18499.

Shapes: B images of shape ``...``, K directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn import functional

from tunebox.data.image_set import ImageSet
from tunebox.models.base import Classifier
from tunebox.training.evaluate import clean_batches
from tunebox.training.precision import evaluation_mode, full_float32


def curvature_along(
    logits_of: Callable[[Tensor], Tensor],
    inputs: Tensor,
    labels: Tensor,
    directions: Iterable[Tensor],
    step: float,
) -> Tensor:
    """Return the mean squared change of each image's gradient along ``directions``, ``(B,)``.

    The estimate of [Nguyen2025]: with normal directions it tends to the sum of the squared
    eigenvalues of the Hessian of the image's own cross-entropy, for small steps. Finite
    differences also see the kinks of ReLU networks, which a Hessian does not.

    The loss is summed over the batch, so the gradient of an image does not depend on how many
    others there are, as long as images do not interact in ``logits_of``.

    Args:
        logits_of: Inputs ``(B, ...)`` to logits ``(B, C)``.
        inputs: ``(B, ...)``.
        labels: ``(B,)``, int64.
        directions: K tensors of the shape of ``inputs``.
        step: Length of the difference, > 0, in the units of ``inputs``.
    """

    def gradient(at: Tensor) -> Tensor:
        at = at.detach().requires_grad_()
        loss = functional.cross_entropy(logits_of(at), labels, reduction="sum")
        return torch.autograd.grad(loss, at)[0]

    here = gradient(inputs)
    squares = [
        ((gradient(inputs + step * direction) - here) / step).flatten(1).square().sum(dim=1)
        for direction in directions
    ]
    return torch.stack(squares).mean(dim=0)


def curvature(
    model: Classifier,
    images: ImageSet,
    *,
    seed: int,
    step: float = 1e-2,
    num_directions: int = 20,
    batch_size: int = 128,
) -> Tensor:
    """Return the curvature at each image, ``(N,)`` float32 on the CPU, in normalised-input units.

    In evaluation mode and float32. Directions are drawn image by image, so the result does not
    depend on ``batch_size``. The relative standard error for a single image is at most
    ``sqrt(2 / num_directions)``.

    Args:
        model: On the device of the images.
        images: Any number of them.
        seed: Random seed of the directions.
        step: Length of the finite difference, in units of the normalised input.
        num_directions: Gradients for each image, besides the one at the image.
        batch_size: Images at a time.
    """
    device = model.mean.device
    generator = torch.Generator().manual_seed(seed)
    shape = (num_directions, *images.image_shape)
    results = []
    with evaluation_mode(model), full_float32(device):
        for batch, labels in clean_batches(images, batch_size):
            # (K, B, C, H, W)
            drawn = [torch.randn(shape, generator=generator) for _ in range(len(labels))]
            directions = torch.stack(drawn, dim=1).to(device)
            inputs = model.normalize(batch)
            values = curvature_along(
                lambda at: model.head(model.backbone(at)), inputs, labels, directions.unbind(), step
            )
            results.append(values.cpu())
    return torch.cat(results)
