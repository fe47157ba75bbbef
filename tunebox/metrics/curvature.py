"""How curved the loss is around an image.

[Nguyen2025] H.-V. Nguyen et al. Training More Robust Classification Model via Discriminative Loss
    and Gaussian Noise Injection. arXiv 2405.18499.

Shapes: B images of shape ``...``, K directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tunebox.metrics.attacks import gradient
from tunebox.metrics.metric import Metric
from tunebox.metrics.settings import ModelMetricSettings
from tunebox.settings import MOST_IMAGES

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.metrics.metric import Batch, Model


class CurvatureSettings(ModelMetricSettings):
    """Mean curvature of the loss around images, by finite differences of gradients [Nguyen2025].

    In units of the normalised input, so it compares models with the same normalisation alone.
    """

    kind: Literal["curvature"]
    images: int | None = Field(100, ge=1, le=MOST_IMAGES)  # number of images used; null: all
    directions: int = Field(10, ge=1, le=100_000)  # each costs a forward and a backward pass
    step: float = Field(0.01, gt=0, le=100)  # length of the difference, in normalised units

    reported = (
        Metric(
            "curvature",
            "mean over images of the sum of squared curvatures of the loss",
            "1",
            "minimize",
        ),
    )

    def measure(self, model: Model, batches: Sequence[Batch], seed: int) -> dict[str, float]:
        """Return ``curvature``.

        Args:
            model: In evaluation mode.
            batches: Images ``(B, C, H, W)`` in [0, 1] and labels, on the device of the model.
            seed: Random seed of the directions.
        """
        values = curvatures(model, batches, self.directions, self.step, seed)
        return {"curvature": float(values.double().mean())}


def curvatures(
    model: Model, batches: Iterable[Batch], num_directions: int, step: float, seed: int
) -> Tensor:
    """Return the curvature at each image, ``(N,)`` on the CPU, in normalised-input units.

    Directions are drawn image by image, so the result does not depend on the batches. The relative
    standard error for a single image is at most ``sqrt(2 / num_directions)``.

    Args:
        model: In evaluation mode.
        batches: Images ``(B, C, H, W)`` in [0, 1] and labels, on the device of the model.
        num_directions: Gradients for each image, besides the one at the image.
        step: Length of the finite difference, in units of the normalised input.
        seed: Random seed of the directions.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    results = []
    for images, labels in batches:
        shape = (num_directions, *images.shape[1:])
        drawn = [torch.randn(shape, generator=generator) for _ in range(len(labels))]
        directions = torch.stack(drawn, dim=1).to(images.device)  # (K, B, C, H, W)
        values = curvature_along(
            lambda at: model.head(model.backbone(at)),
            model.normalize(images),
            labels,
            directions.unbind(),
            step,
        )
        results.append(values.cpu())
    return torch.cat(results)


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
    import torch
    from torch.nn import functional

    def slope(at: Tensor) -> Tensor:
        return gradient(
            lambda inputs: functional.cross_entropy(logits_of(inputs), labels, reduction="none"), at
        )

    here = slope(inputs)
    squares = [
        ((slope(inputs + step * direction) - here) / step).flatten(1).square().sum(dim=1)
        for direction in directions
    ]
    return torch.stack(squares).mean(dim=0)
