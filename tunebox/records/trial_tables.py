"""The tables of a search: trials, their history, and the front. Complete without MLflow."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from tunebox.errors import RecordsError
from tunebox.records.files import replacing
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_columns import (
    LeafColumn,
    TableHeader,
    best_directions,
    best_value,
    leaf_column,
    metric_names,
    read_header,
    read_settings,
)
from tunebox.spec.search_spec import check_name
from tunebox.spec.space import Leaf
from tunebox.trials import Report, TrialLog, TrialRecord, TrialState

_TIME = pa.timestamp("us", tz="UTC")
_REPORT_COLUMNS = ("trial_id", "epoch", "time")  # the rest of the history are metrics
_Result = TypeVar("_Result")


def write_tables(folder: SearchFolder, log: TrialLog, leaves: Sequence[Leaf]) -> None:
    """Write trials, history and front of ``log``; each file is replaced in one step.

    Args:
        folder: Of the search.
        log: All trials, running ones included.
        leaves: The searched leaves: a column each.
    """
    columns = [leaf_column(leaf) for leaf in leaves]
    header = TableHeader(
        search=folder.name,
        objectives=log.objectives,
        constraints=log.constraints,
        leaves=tuple(column.path for column in columns),
        json_leaves=tuple(column.path for column in columns if column.is_json),
    )
    metadata = header.to_metadata()
    trials = list(log.trials.values())
    metrics = metric_names(trial.history for trial in trials)
    table = _trial_table(trials, columns, metrics, header)
    if log.constraints:
        feasible = pa.array([log.is_feasible(trial) for trial in trials], pa.bool_())
        table = table.add_column(table.column_names.index("epochs"), "feasible", feasible)
    table = table.replace_schema_metadata(metadata)
    rows = {trial.trial_id: row for row, trial in enumerate(trials)}
    front = table.take(pa.array([rows[t.trial_id] for t in log.front()], type=pa.int64()))
    # The history goes first: a reader must not find an ended trial whose last report is missing.
    _write(_history_table(trials, metrics).replace_schema_metadata(metadata), folder.history)
    _write(table, folder.trials)
    _write(front, folder.front)


def read_log(folder: SearchFolder) -> TrialLog:
    """Return the trials of a search as its tables have them.

    Raises:
        RecordsError: A table is missing or damaged.
    """
    trials = _read(folder.trials)
    history = _read(folder.history)
    log = _checked(folder.trials, lambda: _log_from(trials))
    _checked(folder.history, lambda: _add_history(log, history))
    return log


def read_front(folder: SearchFolder) -> pa.Table:
    """Return the rows of the trials on the front, best in the first objective first.

    Raises:
        RecordsError: The table is missing or damaged.
    """
    return _read(folder.front)


def _trial_table(
    trials: Sequence[TrialRecord],
    leaf_columns: Sequence[LeafColumn],
    metrics: Sequence[str],
    header: TableHeader,
) -> pa.Table:
    columns: dict[str, pa.Array] = {
        "trial_id": pa.array([t.trial_id for t in trials], pa.string()),
        "state": pa.array([t.state.value for t in trials], pa.string()),
    }
    for leaf in leaf_columns:
        columns[leaf.path] = pa.array([leaf.encode(t.settings) for t in trials], leaf.type)
    columns["epochs"] = pa.array([t.epochs for t in trials], pa.int64())
    for name in metrics:
        values = [t.last_metrics.get(name) for t in trials]
        columns[f"last/{name}"] = pa.array(values, pa.float64())
    for name, maximize in best_directions(metrics, header.objectives).items():
        values = [best_value(t.history, name, maximize) for t in trials]
        columns[f"best/{name}"] = pa.array(values, pa.float64())
    columns["start_time"] = _times([t.start_time for t in trials])
    columns["end_time"] = _times([t.end_time for t in trials])
    for name in ("node", "checkpoint", "reason"):
        columns[name] = pa.array([getattr(t, name) for t in trials], pa.string())
    return pa.table(columns)


def _history_table(trials: Sequence[TrialRecord], metrics: Sequence[str]) -> pa.Table:
    reports = [report for trial in trials for report in trial.history]
    ids = [trial.trial_id for trial in trials for _ in trial.history]
    columns: dict[str, pa.Array] = {
        "trial_id": pa.array(ids, pa.string()),
        "epoch": pa.array([report.epoch for report in reports], pa.int64()),
        "time": _times([report.time for report in reports]),
    }
    for name in metrics:
        values = [report.metrics.get(name) for report in reports]
        columns[name] = pa.array(values, pa.float64())
    return pa.table(columns)


def _times(seconds: Sequence[float | None]) -> pa.Array:
    microseconds = [None if value is None else round(value * 1e6) for value in seconds]
    return pa.array(microseconds, pa.int64()).cast(_TIME)


def _write(table: pa.Table, path: Path) -> None:
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise RecordsError(f"{path} is missing; a search writes it within seconds of its start")
    table: pa.Table = _checked(path, lambda: pq.ParquetFile(path).read())
    _checked(path, lambda: read_header(table.schema))
    return table


def _checked(path: Path, read: Callable[[], _Result]) -> _Result:
    """Return what ``read`` gives; what it raises over damaged content names the file."""
    try:
        return read()
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecordsError(f"{path} cannot be read: {reason}") from error


def _log_from(table: pa.Table) -> TrialLog:
    header = read_header(table.schema)
    log = TrialLog(header.objectives, header.constraints)
    starts, ends = _seconds(table["start_time"]), _seconds(table["end_time"])
    rows = table.drop_columns(["start_time", "end_time"]).to_pylist()
    for row, start_time, end_time in zip(rows, starts, ends, strict=True):
        assert start_time is not None
        check_name(row["trial_id"])  # it is the name of a folder too
        log.trials[row["trial_id"]] = TrialRecord(
            trial_id=row["trial_id"],
            settings=read_settings(row, header),
            start_time=start_time,
            state=TrialState(row["state"]),
            reason=row["reason"],
            node=row["node"],
            checkpoint=row["checkpoint"],
            end_time=end_time,
        )
    return log


def _add_history(log: TrialLog, table: pa.Table) -> None:
    ids, epochs = table["trial_id"].to_pylist(), table["epoch"].to_pylist()
    names = [name for name in table.column_names if name not in _REPORT_COLUMNS]
    columns = [table[name].to_pylist() for name in names]
    values = zip(*columns, strict=True) if columns else itertools.repeat((), len(ids))
    for trial_id, epoch, time, row in zip(
        ids, epochs, _seconds(table["time"]), values, strict=True
    ):
        if trial_id not in log.trials:
            continue  # the search was killed between writing the history and the trials
        assert time is not None
        metrics = {name: value for name, value in zip(names, row, strict=True) if value is not None}
        log.trials[trial_id].history.append(Report(epoch, metrics, time))


def _seconds(moments: pa.ChunkedArray) -> list[float | None]:
    microseconds = moments.cast(pa.int64()).to_pylist()  # a datetime for each would be slow
    return [None if value is None else value / 1e6 for value in microseconds]
