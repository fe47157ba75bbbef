"""Columns of tables that name images and their labels: CSV, TSV or parquet. Imports no torch."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tunebox.errors import DataError, reading

_ADVICE = "give a CSV, TSV or parquet file"


def read_columns(
    file: Path, needed: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, list[Any]]:
    """Return the columns of a table by name; an optional one that is not there is left out.

    Raises:
        DataError: The file is missing or damaged, or lacks a column.
    """
    with reading(file, DataError, problem="cannot be read as a table", advice=_ADVICE):
        is_parquet = file.suffix.lower() == ".parquet"
        columns = _parquet_columns if is_parquet else _csv_columns
        found = columns(file, [*needed, *optional])
        for name in needed:
            if name not in found:
                there = ", ".join(map(str, found.get("", []))) or "none"
                raise DataError(f"{file}: has no column {name!r}, but {there}; name it in data")
        found.pop("", None)
        return found


def _csv_columns(file: Path, names: Sequence[str]) -> dict[str, list[Any]]:
    """Return the columns; under the empty name, the names of all."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = csv.reader(stream, csv.excel_tab if file.suffix.lower() == ".tsv" else csv.excel)
        header = next(rows, [])
        places = {name: header.index(name) for name in names if name in header}
        columns: dict[str, list[Any]] = {"": header, **{name: [] for name in places}}
        for row in rows:
            if row and len(row) != len(header):
                raise ValueError(
                    f"line {rows.line_num} has {len(row)} cells, the first line {len(header)}"
                )
            for name, place in places.items() if row else ():
                columns[name].append(row[place])
    return columns


def _parquet_columns(file: Path, names: Sequence[str]) -> dict[str, list[Any]]:
    with open_parquet(file) as opened:
        there = opened.schema_arrow.names
        wanted = [name for name in names if name in there]
        table = opened.read(columns=wanted)
    return {"": there, **{name: table[name].to_pylist() for name in wanted}}


def open_parquet(file: Path) -> Any:
    """Return the ``pyarrow.parquet.ParquetFile`` of a path, which is a context."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(file, page_checksum_verification=True, memory_map=False)


def class_labels(schema: Any, column: str) -> list[str] | None:
    """Return the names of the classes that Hugging Face's ``datasets`` wrote into a schema."""
    written = (schema.metadata or {}).get(b"huggingface")
    if written is None:
        return None
    feature = json.loads(written).get("info", {}).get("features", {}).get(column, {})
    names = feature.get("names") if isinstance(feature, dict) else None
    return [str(name) for name in names] if isinstance(names, list) and names else None


def texts(values: Sequence[Any], file: Path, column: str) -> list[str]:
    """Return the labels or paths in a column as text.

    Raises:
        DataError: A cell is empty, or is no text and no integer.
    """
    return list(_texts(values, file, column))


def _texts(values: Sequence[Any], file: Path, column: str) -> Iterator[str]:
    for row, value in enumerate(values):
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # as pandas writes integers among empty cells
        if not isinstance(value, str | int) or not str(value).strip():
            raise DataError(
                f"{file}: row {row} of the column {column!r} holds {str(value)[:40]!r}, expected a "
                "text or an integer"
            )
        yield str(value).strip()
