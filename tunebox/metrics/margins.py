"""Distances between classes, and of images from the other classes.

[Zhou2022] X. Zhou et al. Learning Towards the Largest Margins. ICLR 2022. arXiv 2206.11589.
[Banburski2021] A. Banburski et al. Distribution of Classification Margins: Are All Data Equal?
    arXiv 2107.10199.

Shapes: B images, D feature values, K >= 2 classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from tunebox.metrics.metric import Metric
from tunebox.metrics.settings import ModelMetricSettings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tunebox.metrics.metric import Batch, Model


class MarginsSettings(ModelMetricSettings):
    """Margins of the class weights and of the features, on images without noise.

    Class and sample margins are those of angles [Zhou2022]; the area under the margin distribution
    [Banburski2021] is that of distances between features and the boundary to the runner-up.
    """

    kind: Literal["margins"]

    reported = (
        Metric(
            "class_margin",
            "smallest angle between the head's weights of two classes",
            "degrees",
            "maximize",
            (0.0, 180.0),
        ),
        Metric(
            "sample_margin",
            "mean cosine to the own class minus the largest to another class",
            "1",
            "maximize",
            (-2.0, 2.0),
        ),
        Metric(
            "margin_area",
            "area under the distribution of distances to the boundary, of features",
            "1",
            "maximize",
            (-math.inf, math.inf),
        ),
    )

    def measure(self, model: Model, batches: Sequence[Batch], seed: int) -> dict[str, float]:
        """Return ``class_margin``, ``sample_margin`` and ``margin_area``; nothing is drawn.

        Args:
            model: In evaluation mode.
            batches: Images ``(B, C, H, W)`` in [0, 1] and labels, on the device of the model.
            seed: Not used.
        """
        import torch

        cosines, distances = [], []
        for images, labels in batches:
            with torch.no_grad():
                features = model.features(images)
            cosines.append(sample_margins(features, model.head.weight, labels))
            distances.append(feature_margins(model.head, features, labels))
        return {
            "class_margin": class_margin(model.head.weight),
            "sample_margin": float(torch.cat(cosines).double().mean()),
            "margin_area": margin_area(torch.cat(distances)),
        }


def class_margin(weight: Tensor) -> float:
    """Return the smallest angle between two rows of ``weight``, ``(K, D)``, in degrees."""
    import torch

    unit = _unit_rows(weight.detach().double())
    cosines = unit @ unit.T
    rows, columns = torch.triu_indices(len(unit), len(unit), offset=1)
    return math.degrees(math.acos(float(cosines[rows, columns].max().clamp(-1, 1))))


def sample_margins(features: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """Return the cosine to the label's weights minus the largest to any others, ``(B,)``.

    Args:
        features: ``(B, D)``.
        weight: ``(K, D)``.
        labels: ``(B,)``.
    """
    return logit_margins(_unit_rows(features) @ _unit_rows(weight.detach()).T, labels)


def logit_margins(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logit of the label minus the largest other one, ``(B,)``."""
    own = logits.gather(1, labels.unsqueeze(1))
    others = logits.scatter(1, labels.unsqueeze(1), -math.inf)
    return own.squeeze(1) - others.amax(dim=1)


def feature_margins(head: nn.Linear, features: Tensor, labels: Tensor) -> Tensor:
    """Return the distance of each feature from the boundary to the runner-up, ``(B,)``.

    Negative where the label loses. For a linear head it is exact: the difference of two logits
    divided by the distance of their weights. For other heads it is that of their linearisation.

    Args:
        head: Features ``(B, D)`` to logits ``(B, K)``.
        features: ``(B, D)``.
        labels: ``(B,)``.
    """
    import torch

    with torch.enable_grad():
        at = features.detach().requires_grad_()
        margins = logit_margins(head(at), labels)
        (slope,) = torch.autograd.grad(margins.sum(), at)
    lengths: Tensor = torch.linalg.vector_norm(slope, dim=1)
    return margins.detach() / lengths.clamp_min(1e-12)


def margin_area(margins: Tensor) -> float:
    """Return the area under the sorted margins over their rank in [0, 1], by trapezoids.

    Args:
        margins: ``(N,)``; of a single one, the area is itself.
    """
    import torch

    ordered = margins.double().sort().values
    if len(ordered) == 1:
        return float(ordered[0])
    return float(torch.trapezoid(ordered, dx=1 / (len(ordered) - 1)))


def _unit_rows(rows: Tensor) -> Tensor:
    """Return each row divided by its length; a row of zeros stays so."""
    from torch.nn import functional

    return functional.normalize(rows, dim=1)
