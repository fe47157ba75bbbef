"""The columns of the trial tables: their names, types and metadata.

The path of a searched leaf is the name of its column. The values of a choice with several types,
or with null, which would look like an inactive leaf, are stored as JSON text; the metadata list
such leaves.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tunebox import __version__
from tunebox.decisions.trials import Report
from tunebox.errors import RecordsError
from tunebox.metrics.catalogue import find_metric
from tunebox.pareto.constraints import Constraint, Constraints
from tunebox.pareto.objectives import Objective, Objectives
from tunebox.spec.space import Distribution, Leaf, Range, Scalar

_METADATA_KEY = b"tunebox"
_FORMAT = 2  # 1 had no checksum


@dataclass(frozen=True)
class LeafColumn:
    """The column of one searched leaf."""

    path: str
    type: pa.DataType
    is_json: bool

    def encode(self, settings: dict[str, Scalar]) -> Scalar:
        """Return the value of the column for a trial, None where the leaf is inactive."""
        if self.path not in settings:
            return None
        value = settings[self.path]
        return json.dumps(value) if self.is_json else value


def leaf_column(leaf: Leaf) -> LeafColumn:
    """Return the column of ``leaf``, typed by its distribution."""
    column_type = _type_of(leaf.distribution)
    return LeafColumn(leaf.path, column_type or pa.string(), is_json=column_type is None)


def _type_of(distribution: Distribution) -> pa.DataType | None:
    if isinstance(distribution, Range):
        return pa.int64() if distribution.integer else pa.float64()
    kinds = {type(option) for option in distribution.options}
    if kinds == {int, float}:
        return pa.float64()
    types = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
    return types.get(next(iter(kinds))) if len(kinds) == 1 else None


@dataclass(frozen=True)
class TableHeader:
    """Metadata of every table, so that reading one needs no search file."""

    search: str
    objectives: Objectives
    constraints: Constraints
    leaves: tuple[str, ...]
    json_leaves: tuple[str, ...]

    def to_metadata(self) -> dict[bytes, bytes]:
        """Return the schema metadata of a table."""
        content = {
            "format": _FORMAT,
            "version": __version__,
            "search": self.search,
            "objectives": [
                {
                    "name": objective.name,
                    "direction": "maximize" if objective.maximize else "minimize",
                    "reference": objective.reference,
                }
                for objective in self.objectives
            ],
            "only_objectives_known": self.objectives.only_known,
            "constraints": [
                {"metric": c.metric, "min": c.low, "max": c.high} for c in self.constraints
            ],
            "leaves": self.leaves,
            "json_leaves": self.json_leaves,
        }
        return {_METADATA_KEY: json.dumps(content).encode()}


def read_header(schema: pa.Schema, has_checksum: bool) -> TableHeader:
    """Return the header in the metadata of ``schema``, of a table with or without a checksum.

    Raises:
        RecordsError: A later version of tunebox wrote the table.
        ValueError: It is not as tunebox wrote it.
    """
    content = json.loads((schema.metadata or {}).get(_METADATA_KEY, b"{}"))
    if "format" not in content:
        raise ValueError("it is not a table of tunebox")
    if content["format"] > _FORMAT:
        raise RecordsError(f"it was written by tunebox {content.get('version')}; update tunebox")
    if content["format"] > 1 and not has_checksum:
        raise ValueError("its checksum is missing")
    objectives = [
        Objective(str(o["name"]), o["direction"] == "maximize", float(o["reference"]))
        for o in content["objectives"]
    ]
    constraints = [
        Constraint(str(c["metric"]), as_number(c["min"]), as_number(c["max"]))
        for c in content.get("constraints", [])  # absent in older tables
    ]
    return TableHeader(
        search=str(content["search"]),
        objectives=Objectives(
            objectives, only_known=bool(content.get("only_objectives_known", False))
        ),
        constraints=Constraints(constraints),
        leaves=tuple(content["leaves"]),
        json_leaves=tuple(content["json_leaves"]),
    )


def read_settings(row: dict[str, Any], header: TableHeader) -> dict[str, Scalar]:
    """Return the settings of a trial from its row."""
    active = {path: row[path] for path in header.leaves if row[path] is not None}
    settings = {
        path: json.loads(value) if path in header.json_leaves else value
        for path, value in active.items()
    }
    if not all(isinstance(value, Scalar) for value in settings.values()):
        raise TypeError("a setting has more than one value")
    return settings


def as_text(value: Any) -> str | None:
    """Return ``value``, a text or None.

    Raises:
        TypeError: It is something else.
    """
    if not isinstance(value, str | None):
        raise TypeError(f"{value!r} is no text")
    return value


def as_number(value: Any) -> float | None:
    """Return ``value`` as a float, or None."""
    return None if value is None else float(value)


def metric_names(histories: Iterable[Sequence[Report]]) -> list[str]:
    """Return every metric of any report, in order of first appearance."""
    names: dict[str, None] = {}
    seen: set[tuple[str, ...]] = set()
    for history in histories:
        for report in history:
            keys = tuple(report.metrics)
            if keys not in seen:  # almost all reports have the same metrics
                seen.add(keys)
                names.update(dict.fromkeys(keys))
    return list(names)


def best_directions(names: Sequence[str], objectives: Objectives) -> dict[str, bool]:
    """Return the metrics that have a best value, and whether it is the largest."""
    directions = {objective.name: objective.maximize for objective in objectives}
    for name in names if not objectives.only_known else ():
        metric = find_metric(name)
        if metric is not None and metric.has_best_epoch:
            directions.setdefault(name, metric.direction == "maximize")
    return {name: directions[name] for name in names if name in directions}


def best_value(history: Sequence[Report], name: str, maximize: bool) -> float | None:
    """Return the best finite value of a metric over all epochs, None if there is none."""
    values = [report.metrics[name] for report in history if name in report.metrics]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return None
    return max(finite) if maximize else min(finite)
