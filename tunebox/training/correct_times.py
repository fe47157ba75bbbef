"""Whether images around which the loss is curved are misclassified more often under noise.

[Nguyen2025] H.-V. Nguyen et al. Training More Robust Classification Model via Discriminative Loss
    and Gaussian Noise Injection. arXiv 2405.18499.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from tunebox.data.stored_set import AnyImageSet
from tunebox.models.base import Classifier
from tunebox.noise.base import Perturbation
from tunebox.noise.gaussian import GaussianSettings
from tunebox.noise.uniform import UniformSettings
from tunebox.training.evaluate import noisy_batches
from tunebox.training.precision import evaluation_mode, full_float32

_COPIES = 10
_STRENGTH = 0.06
_RESAMPLES = 1000
_BATCH_SIZE = 512


def correct_times_numbers(
    model: Classifier, images: AnyImageSet, curvatures: NDArray[np.float64], seed: int
) -> dict[str, float]:
    """Return how the curvature goes with the number of noisy copies that are classified correctly.

    Ten copies of each image under normal noise with standard deviation 0.06, and ten under uniform
    noise of that size. The keys ``correct_times/<noise>/...`` are: ``pearson``, between the mean
    curvature of the images with equal count, 1 or more, and the count; ``groups``, how many counts
    occur; ``spearman``, over single images, with ``spearman_low`` and ``spearman_high``, its 95 %
    interval. A correlation is left out where it is not defined.

    Args:
        model: On the device of the images.
        images: N images.
        curvatures: Of the images, ``(N,)``.
        seed: Random seed of the noise and of the interval.
    """
    noises: dict[str, Perturbation] = {
        "gaussian": GaussianSettings(kind="gaussian", std=_STRENGTH).build(),
        "uniform": UniformSettings(kind="uniform", epsilon=_STRENGTH).build(),
    }
    numbers = {}
    for name, perturb in noises.items():
        counts = correct_times(model, images, perturb, seed)
        for key, value in correlations(curvatures, counts, seed).items():
            if math.isfinite(value):
                numbers[f"correct_times/{name}/{key}"] = value
    return numbers


def correct_times(
    model: Classifier, images: AnyImageSet, perturb: Perturbation, seed: int
) -> NDArray[np.int64]:
    """Return how many of ten noisy copies of each image are classified correctly, ``(N,)``."""
    with torch.no_grad(), evaluation_mode(model), full_float32(model.mean.device):
        batches = noisy_batches(
            images, perturb, seed=seed, num_draws=_COPIES, batch_size=_BATCH_SIZE
        )
        right = [model(noisy).argmax(dim=1) == labels for noisy, labels in batches]
        counts = torch.cat(right).view(_COPIES, len(images)).sum(dim=0)
    found: NDArray[np.int64] = counts.cpu().numpy()
    return found


def correlations(
    curvatures: NDArray[np.float64], counts: NDArray[np.int64], seed: int
) -> dict[str, float]:
    """Return ``pearson``, ``groups``, ``spearman``, ``spearman_low`` and ``spearman_high``.

    NaN where a correlation is not defined, such as that of one group.

    Args:
        curvatures: ``(N,)``.
        counts: How often each image is classified correctly, ``(N,)``; images with 0 are not in
            ``pearson`` [Nguyen2025].
        seed: Random seed of the resampling.
    """
    values = [count for count in np.unique(counts) if count > 0]
    means = [curvatures[counts == count].mean() for count in values]
    draws = np.random.default_rng(seed).integers(len(counts), size=(_RESAMPLES, len(counts)))
    resampled = [_spearman(curvatures[draw], counts[draw]) for draw in draws]
    low, high = (
        np.nanquantile(resampled, [0.025, 0.975])
        if np.isfinite(resampled).any()
        else (
            math.nan,
            math.nan,
        )
    )
    return {
        "pearson": _pearson(np.array(means), np.array(values, dtype=np.float64)),
        "groups": float(len(values)),
        "spearman": _spearman(curvatures, counts),
        "spearman_low": float(low),
        "spearman_high": float(high),
    }


def _pearson(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])


def _spearman(first: NDArray[np.float64], second: NDArray[np.int64]) -> float:
    from scipy.stats import rankdata

    return _pearson(rankdata(first), rankdata(second))
