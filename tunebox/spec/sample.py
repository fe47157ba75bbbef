"""Random settings from a search space, to look at what a search file asks."""

import math
import random

from tunebox.spec.space import Choice, Leaf, Scalar, Space, Values


def sample_values(space: Space, generator: random.Random) -> Values:
    """Return values of all active leaves, each drawn from its distribution."""
    return space.draw(lambda leaf: _draw(leaf, generator))


def _draw(leaf: Leaf, generator: random.Random) -> Scalar:
    distribution = leaf.distribution
    if isinstance(distribution, Choice):
        return generator.choice(distribution.options)
    low, high = distribution.low, distribution.high
    if distribution.integer and not distribution.log:
        return generator.randint(int(low), int(high))
    if not distribution.log:
        return generator.uniform(low, high)
    drawn = math.exp(generator.uniform(math.log(low), math.log(high)))
    drawn = min(max(drawn, low), high)  # exp(log(x)) may miss x by a rounding
    return round(drawn) if distribution.integer else drawn
