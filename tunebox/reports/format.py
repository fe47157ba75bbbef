"""Formatting of metrics and settings."""

import math
from typing import TYPE_CHECKING

from tunebox.metrics.catalogue import find_metric
from tunebox.spec.space import Scalar

if TYPE_CHECKING:
    from tunebox.decisions.confirmed import Estimate


def format_metric(name: str, value: float) -> str:
    """Return ``value`` with the digits that are significant for the metric ``name``."""
    metric = find_metric(name)
    unit = None if metric is None else metric.unit
    if unit == "share":
        return f"{100 * value:.2f} %"
    if unit == "seconds":
        return f"{value:.1f} s"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"


def short_value(value: Scalar) -> str:
    """Return the value of a setting with at most three significant digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def format_estimate(name: str, estimate: "Estimate") -> str:
    """Return a mean of the metric ``name`` with ± half the width of its interval."""
    value, width = estimate.value, estimate.half_width
    if not math.isfinite(width):
        return f"{format_metric(name, value)} (one seed)"
    metric = find_metric(name)
    if metric is not None and metric.unit == "share":
        return f"{100 * value:.2f} ± {100 * width:.2f} %"
    return f"{value:.4g} ± {width:.2g}"
