"""Certified robustness of the smoothed classifier.

[Cohen2019] J. Cohen, E. Rosenfeld and Z. Kolter. Certified Adversarial Robustness via Randomized
    Smoothing. ICML 2019. arXiv 1902.02918.
[Zhai2020] R. Zhai et al. MACER: Attack-free and Scalable Robust Training via Maximizing Certified
    Radius. ICLR 2020. The average certified radius.

Shapes: B images, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tunebox.metrics.metric import Metric
from tunebox.metrics.settings import ModelMetricSettings
from tunebox.settings import MOST_IMAGES

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tunebox.metrics.metric import Batch, Model

ABSTAINED = -1.0  # in place of a radius


@dataclass(frozen=True)
class Smoothed:
    """What the smoothed classifier does with N images.

    Attributes:
        radii: Certified radius of each, ``(N,)``; `ABSTAINED` if wrong or unsure.
        right: Whether its prediction is right, ``(N,)``; one that is unsure is not.
    """

    radii: NDArray[np.float64]
    right: NDArray[np.bool_]


class CertifiedSettings(ModelMetricSettings):
    """Accuracy and radius that randomised smoothing guarantees against any change in L2.

    The smoothed classifier predicts the class that the model gives most often under normal noise,
    which is not cut to [0, 1]. Each image is certified with probability ``1 - alpha`` [Cohen2019].
    """

    kind: Literal["certified"]
    images: int | None = Field(100, ge=1, le=MOST_IMAGES)  # number of images used; null: all
    std: float = Field(0.25, gt=0, le=10)  # of the noise, in units of the pixel range
    radius: float = Field(0.25, ge=0, le=100)  # L2 radius of certified_accuracy, in the same units
    samples: int = Field(100, ge=1, le=10_000_000)  # noisy copies of each image for the bound
    selection_samples: int = Field(32, ge=1, le=10_000_000)  # further copies that choose the class
    alpha: float = Field(0.001, gt=0, lt=0.5)  # probability that a certificate is wrong

    reported = (
        Metric(
            "certified_accuracy",
            "share of images classified correctly within the radius, certified by smoothing",
            "share",
            "maximize",
            (0.0, 1.0),
        ),
        Metric(
            "certified_radius",
            "average certified radius (L2); an image that is wrong counts 0",
            "1",
            "maximize",
        ),
    )

    def measure(self, model: Model, batches: Sequence[Batch], seed: int) -> dict[str, float]:
        """Return ``certified_accuracy`` and ``certified_radius``; the noise depends on the device.

        Args:
            model: In evaluation mode.
            batches: Images ``(B, C, H, W)`` in [0, 1] and labels, on the device of the model.
            seed: Random seed of the noise.
        """
        radii = self.smoothed(model, batches, seed).radii
        return {
            "certified_accuracy": float((radii >= self.radius).mean()),
            "certified_radius": float(radii.clip(min=0).mean()),
        }

    def smoothed(self, model: Model, batches: Sequence[Batch], seed: int) -> Smoothed:
        """Certify all images, and predict their classes, each with probability ``1 - alpha``."""
        import torch

        generator = torch.Generator(batches[0][0].device).manual_seed(seed)
        radii, right = [], []
        for images, labels in batches:
            chosen = self._counts(model, images, self.selection_samples, generator).argmax(dim=1)
            counts = self._counts(model, images, self.samples, generator)
            hits = counts.gather(1, chosen.unsqueeze(1)).squeeze(1)
            of_chosen = certified_radii(hits.cpu().numpy(), self.samples, self.std, self.alpha)
            radii.append(np.where((chosen == labels).cpu().numpy(), of_chosen, ABSTAINED))
            predicted = counts.argmax(dim=1, keepdim=True)
            others = counts.scatter(1, predicted, 0)
            first, second = (some.amax(dim=1).cpu().numpy() for some in (counts, others))
            is_right = (predicted[:, 0] == labels).cpu().numpy()
            right.append(is_right & (ambiguity(first, second) <= self.alpha))
        return Smoothed(np.concatenate(radii), np.concatenate(right))

    def _counts(
        self, model: Model, images: Tensor, num_samples: int, generator: torch.Generator
    ) -> Tensor:
        """Return how often each class is predicted under noise, ``(B, K)`` int64."""
        import torch

        counts = torch.zeros(
            len(images), model.head.out_features, dtype=torch.int64, device=images.device
        )
        with torch.no_grad():
            for noise in _normal(images, num_samples, generator):
                predicted = model(images + self.std * noise).argmax(dim=1, keepdim=True)
                counts.scatter_add_(1, predicted, torch.ones_like(predicted))
        return counts


def _normal(images: Tensor, num_samples: int, generator: torch.Generator) -> Iterator[Tensor]:
    import torch

    for _ in range(num_samples):
        yield torch.randn(
            images.shape, generator=generator, dtype=images.dtype, device=images.device
        )


def lower_bound(hits: NDArray[Any], num_samples: int, alpha: float) -> NDArray[np.float64]:
    """Return the one-sided Clopper-Pearson bound of the probability of a hit.

    The true probability is below it in a share ``alpha`` of all experiments, at most.

    Args:
        hits: Any shape, 0 to ``num_samples``.
        num_samples: Independent tries.
        alpha: In (0, 1).
    """
    from scipy.stats import beta

    hits = np.asarray(hits)
    bound = beta.ppf(alpha, np.maximum(hits, 1), num_samples - hits + 1)
    return np.where(hits > 0, bound, 0.0)


def ambiguity(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """Return how likely counts so unlike are of two classes that are equally probable.

    The two-sided binomial test with which the prediction abstains [Cohen2019].

    Args:
        first: How often the most frequent class was predicted, any shape.
        second: How often the second was, the same shape, at most ``first``.
    """
    from scipy.stats import binom

    first, second = np.asarray(first), np.asarray(second)
    tails: NDArray[np.float64] = binom.sf(first - 1, first + second, 0.5)
    return np.minimum(1.0, 2 * tails)


def certified_radii(
    hits: NDArray[Any], num_samples: int, std: float, alpha: float
) -> NDArray[np.float64]:
    """Return the radius in which the smoothed prediction cannot change, `ABSTAINED` if unsure.

    ``std * quantile(p)``, with the standard normal quantile and p the lower bound of the class's
    probability; unsure is a class with ``p < 1/2`` [Cohen2019].

    Args:
        hits: How often the chosen class was predicted, any shape.
        num_samples: Noisy copies, which must be others than those that chose the class.
        std: Standard deviation of the noise.
        alpha: Probability that a radius is too large.
    """
    from scipy.stats import norm

    bound = lower_bound(hits, num_samples, alpha)
    return np.where(bound >= 0.5, std * norm.ppf(np.maximum(bound, 0.5)), ABSTAINED)
