"""Costs on a scale on which a Gaussian process can model them."""

from dataclasses import dataclass

import numpy as np

from tunebox.pareto.objectives import FloatArray

_MOST = 50.0  # on the scale: what is worse is all the same


@dataclass(frozen=True)
class Scaling:
    """A scale on which the better half of the costs is kept and the worse half drawn together.

    Costs of poor settings differ by orders of magnitude, which says little about good ones. Above
    the middle the scale is logarithmic.
    """

    middle: float
    unit: float

    @classmethod
    def of(cls, costs: FloatArray) -> "Scaling":
        """Return the scale for ``costs`` ``(N,)``: from their median to their best tenth is 1."""
        middle = float(np.median(costs))
        for low in (np.quantile(costs, 0.1), costs.min(), middle - costs.std()):
            if middle - low > 1e-9 * max(1.0, abs(middle)):
                return cls(middle, float(middle - low))
        return cls(middle, 1.0)

    def __call__(self, costs: FloatArray) -> FloatArray:
        """Return costs on the scale, in the same order."""
        scaled = (costs - self.middle) / self.unit
        return np.where(scaled > 0, np.log1p(np.maximum(scaled, 0.0)), scaled)

    def back(self, scaled: FloatArray) -> FloatArray:
        """Return the costs that are at ``scaled``."""
        capped = np.minimum(scaled, _MOST)
        costs = np.where(capped > 0, np.expm1(np.maximum(capped, 0.0)), capped)
        return np.asarray(self.middle + self.unit * costs, dtype=np.float64)
