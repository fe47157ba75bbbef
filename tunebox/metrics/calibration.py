"""Calibration: whether predicted probabilities are those that come true.

[Guo2017] C. Guo et al. On Calibration of Modern Neural Networks. ICML 2017.
[Brier1950] G. W. Brier. Verification of Forecasts Expressed in Terms of Probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunebox.metrics.metric import Metric

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.metrics.metric import Prediction

NUM_BINS = 15


def binned_calibration_error(confidence: Tensor, correct: Tensor, num_bins: int) -> Tensor:
    """Return the gap between accuracy and confidence, weighted by the images of each bin.

    Args:
        confidence: Highest probability of each image, ``(N,)``, float64.
        correct: Whether each image was classified correctly, ``(N,)``.
        num_bins: Bins ``(l, u]`` of equal width in [0, 1]; an empty bin counts nothing.
    """
    import torch

    edges = torch.linspace(0, 1, num_bins + 1, dtype=confidence.dtype, device=confidence.device)
    # bucketize gives i with edges[i-1] < value <= edges[i]; rounding may exceed 1 by little
    bins = (torch.bucketize(confidence, edges) - 1).clamp(0, num_bins - 1)
    gaps = confidence.new_zeros(num_bins).index_add_(0, bins, correct.to(confidence) - confidence)
    return gaps.abs().sum() / len(confidence)


def ece(predictions: Sequence[Prediction]) -> Tensor:
    """Return the expected calibration error with 15 bins [Guo2017], float64."""
    probabilities, labels = _probabilities(predictions)
    confidence, predicted = probabilities.max(dim=1)
    return binned_calibration_error(confidence, predicted == labels, NUM_BINS)


def brier(predictions: Sequence[Prediction]) -> Tensor:
    """Return the mean squared distance of probabilities and one-hot labels [Brier1950]."""
    probabilities, labels = _probabilities(predictions)
    own = probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)
    return (probabilities.square().sum(dim=1) - 2 * own + 1).mean().clamp(0, 2)


def _probabilities(predictions: Sequence[Prediction]) -> tuple[Tensor, Tensor]:
    import torch

    logits = torch.cat([logits for logits, _ in predictions]).double()
    return logits.softmax(dim=1), torch.cat([labels for _, labels in predictions])


METRICS = (
    Metric(
        "ece",
        f"expected calibration error with {NUM_BINS} bins",
        "share",
        "minimize",
        (0.0, 1.0),
        compute=ece,
    ),
    Metric(
        "brier", "Brier score, summed over classes", "score", "minimize", (0.0, 2.0), compute=brier
    ),
)
