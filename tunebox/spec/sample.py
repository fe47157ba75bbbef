"""Random settings from a search space, to look at what a search file asks."""

import math
import random

from tunebox.spec.space import Choice, Distribution, Scalar, Space, Values


def sample_values(space: Space, generator: random.Random) -> Values:
    """Return values of all active leaves, each drawn from its distribution."""
    return space.draw(lambda leaf: value_at(leaf.distribution, generator.random()))


def value_at(distribution: Distribution, quantile: float) -> Scalar:
    """Return the value below which the share ``quantile``, 0 <= .. < 1, of the draws lie.

    The options of a choice count in their order, each with the same share.
    """
    if isinstance(distribution, Choice):
        return distribution.options[int(quantile * len(distribution.options))]
    low, high = distribution.low, distribution.high
    if distribution.integer and not distribution.log:
        return int(low) + int(quantile * (int(high) - int(low) + 1))
    if not distribution.log:
        return min(low + quantile * (high - low), high)
    drawn = math.exp(math.log(low) + quantile * (math.log(high) - math.log(low)))
    drawn = min(max(drawn, low), high)  # exp(log(x)) may miss x by a rounding
    return round(drawn) if distribution.integer else drawn
