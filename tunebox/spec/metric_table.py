"""Metrics and corruptions as tables for the documentation.

``python -m tunebox.spec.metric_table`` prints them.
"""

from __future__ import annotations

from collections.abc import Iterator

from tunebox.metrics.catalogue import COMPUTED, of_model
from tunebox.metrics.metric import Metric
from tunebox.metrics.settings import MetricSettings, ModelMetricSettings
from tunebox.noise.corruptions import COMMON, DRAWN_DIFFERENTLY, NAMES
from tunebox.spec.part_table import entries


def prediction_table() -> str:
    """Return the metrics of predictions as a table in Markdown."""
    lines = ["| metric | meaning | unit | better | range |", "| --- | --- | --- | --- | --- |"]
    for name, metric in COMPUTED.items():
        if name.startswith("clean_"):
            names = f"`{name}`, `noisy_{name.removeprefix('clean_')}`"
            lines.append(f"| {names} | {_described(metric)} |")
    return "\n".join(lines) + "\n"


def kind_table() -> str:
    """Return the metrics that need the model, with their settings, as a table in Markdown."""
    lines = ["| kind | settings: default | reports |", "| --- | --- | --- |"]
    for entry in entries("metric"):
        part = MetricSettings.kinds().get(entry.kind)
        if part is None or not issubclass(part, ModelMetricSettings):
            continue
        settings = [
            f"`{argument.name}: {_short(argument.default)}`"
            + (f" {argument.meaning}" if argument.meaning else "")
            for argument in entry.arguments
            if argument.name not in ("name", "cadence")
        ]
        reports = ", ".join(f"`{metric.name}`" for metric in part.reported)
        lines.append(f"| `{entry.kind}`: {entry.meaning} | {'; '.join(settings)} | {reports} |")
    return "\n".join(lines) + "\n"


def reported_table() -> str:
    """Return what those metrics report as a table in Markdown."""
    lines = ["| metric | meaning | unit | better | range |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| `{name}` | {_described(metric)} |" for name, metric in of_model().items()]
    return "\n".join(lines) + "\n"


def corruption_table() -> str:
    """Return the corruptions as a table in Markdown."""
    lines = ["| corruption | in the mean error | other than CIFAR-10-C |", "| --- | --- | --- |"]
    lines += [f"| {cells} |" for cells in _corruptions()]
    return "\n".join(lines) + "\n"


def _corruptions() -> Iterator[str]:
    for name in NAMES:
        counts = "yes" if name in COMMON else "no"
        yield f"`{name}` | {counts} | {DRAWN_DIFFERENTLY.get(name, '')}"


def _described(metric: Metric) -> str:
    low, high = (f"{bound:g}" for bound in metric.range)
    better = {"maximize": "higher", "minimize": "lower", None: "neither"}[metric.direction]
    return f"{metric.meaning} | {metric.unit} | {better} | {low} to {high}"


def _short(default: str) -> str:
    return default if "." not in default or len(default) < 8 else f"{float(default):.4f}"


if __name__ == "__main__":
    for table in (prediction_table(), kind_table(), reported_table(), corruption_table()):
        print(table)
