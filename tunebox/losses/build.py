"""From the settings of the losses to the module that computes them."""

from tunebox.losses.base import LossTerm, WeightedLosses
from tunebox.losses.cross_entropy import CrossEntropyTerm
from tunebox.losses.discriminative import DiscriminativeTerm
from tunebox.losses.settings import LossesSettings
from tunebox.losses.stability import StabilityTerm


def build_losses(settings: LossesSettings, *, num_classes: int, feature_dim: int) -> WeightedLosses:
    """Return the weighted terms that ``settings`` name, with nothing remembered yet.

    Raises:
        ValueError: Every weight is 0.
    """
    terms: dict[str, LossTerm] = {"cross_entropy": CrossEntropyTerm(settings.cross_entropy.on)}
    weights = {"cross_entropy": settings.cross_entropy.weight}
    if settings.discriminative is not None:
        terms["discriminative"] = DiscriminativeTerm(
            settings.discriminative, num_classes, feature_dim
        )
        weights["discriminative"] = settings.discriminative.weight
    if settings.stability is not None:
        terms["stability"] = StabilityTerm()
        weights["stability"] = settings.stability.weight
    return WeightedLosses(terms, weights)
