"""Random samples from a search space."""

import math
import random

from tunebox.spec.space import Choice, Distribution, Scalar, Space, Values

BELOW_ONE = 1 - 2.0**-53  # the largest quantile


def sample_values(space: Space, generator: random.Random) -> Values:
    """Return a random value for each active leaf, drawn from its distribution."""
    return space.draw(lambda leaf: value_at(leaf.distribution, generator.random()))


def value_at(distribution: Distribution, quantile: float) -> Scalar:
    """Return the value of ``distribution`` at ``quantile``, in [0, 1).

    The options of a choice are equally likely, in their order.
    """
    if isinstance(distribution, Choice):
        return distribution.options[int(quantile * len(distribution.options))]
    low, high = distribution.low, distribution.high
    if distribution.integer and not distribution.log:
        return int(low) + int(quantile * (int(high) - int(low) + 1))
    if not distribution.log:
        return min(low + quantile * (high - low), high)
    drawn = math.exp(math.log(low) + quantile * (math.log(high) - math.log(low)))
    drawn = min(max(drawn, low), high)  # exp(log(x)) may differ from x by rounding
    return round(drawn) if distribution.integer else drawn


def quantile_of(distribution: Distribution, value: Scalar) -> float:
    """Return a quantile at which ``value`` is, in the middle of those of an option or integer."""
    if isinstance(distribution, Choice):
        accepted = distribution.accept(value)
        same = [option is accepted for option in distribution.options]
        return (same.index(True) + 0.5) / len(same)
    assert isinstance(value, int | float)
    low, high = float(distribution.low), float(distribution.high)
    if distribution.integer and not distribution.log:
        return (value - low + 0.5) / (high - low + 1)
    if distribution.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return min((value - low) / (high - low), BELOW_ONE)
