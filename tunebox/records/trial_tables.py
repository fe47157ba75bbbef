"""The tables of a search: trials, their history and the front; complete without MLflow.

A table that is damaged is made anew from the journal when it is read.
"""

import itertools
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from tunebox.decisions.trials import Report, TrialLog, TrialRecord, TrialState
from tunebox.errors import RecordsError, TuneboxError, describe_error
from tunebox.records.journal_log import log_from_journal
from tunebox.records.lock import holder
from tunebox.records.search_folder import SearchFolder
from tunebox.records.table_file import DamagedTable, read_table, write_table
from tunebox.records.trial_columns import (
    LeafColumn,
    TableHeader,
    as_number,
    as_text,
    best_directions,
    best_value,
    leaf_column,
    metric_names,
    read_header,
    read_settings,
)
from tunebox.spec.search_settings import check_name
from tunebox.spec.space import Leaf
from tunebox.text import shell_command

_TIME = pa.timestamp("us", tz="UTC")
_REPORT_COLUMNS = ("trial_id", "epoch", "time")  # the rest of the history are metrics
_MADE_ANEW = "the tables of the search were made anew from its journal"
_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)
_WITH_RESULT = (TrialState.FINISHED.value, TrialState.STOPPED.value)


@dataclass(frozen=True)
class _Tables:
    history: pa.Table
    trials: pa.Table
    front: pa.Table

    def write(self, folder: SearchFolder) -> None:
        # the history first: a reader must not find an ended trial whose last report is missing
        write_table(self.history, folder.history)
        write_table(self.trials, folder.trials)
        write_table(self.front, folder.front)


def write_tables(folder: SearchFolder, log: TrialLog, leaves: Sequence[Leaf]) -> None:
    """Write trials, history and front of ``log``; each file is replaced atomically.

    Args:
        folder: Folder of the search.
        log: All trials, running ones included.
        leaves: The searched leaves; each has a column.

    Raises:
        OSError: The disk is full, or the folder is gone.
    """
    _tables(folder.name, log, leaves).write(folder)


def _tables(search: str, log: TrialLog, leaves: Sequence[Leaf]) -> _Tables:
    columns = [leaf_column(leaf) for leaf in leaves]
    header = TableHeader(
        search=search,
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
    front_ids = [trial.trial_id for trial in log.front()]
    front = table.take(pa.array([rows[trial_id] for trial_id in front_ids], type=pa.int64()))
    equals = pa.array([log.equals(trial_id) for trial_id in front_ids], pa.list_(pa.string()))
    front = front.append_column("equal_trials", equals)
    history = _history_table(trials, metrics).replace_schema_metadata(metadata)
    return _Tables(history, table, front)


def read_log(folder: SearchFolder) -> TrialLog:
    """Return the trials of a search, read from its tables.

    Raises:
        RecordsError: A table is missing or damaged and cannot be made anew, or a later version of
            tunebox wrote it.
    """
    try:
        return _log_of(folder, _read(folder.trials), _read(folder.history))
    except DamagedTable as error:
        tables = _made_anew(folder, error)
        return _log_of(folder, tables.trials, tables.history)


def read_front(folder: SearchFolder) -> pa.Table:
    """Return the rows of the trials on the front, best in the first objective first.

    ``equal_trials`` lists the trials that equal the one of the row in all objectives.

    Raises:
        RecordsError: The table is missing or damaged and cannot be made anew, or a later version
            of tunebox wrote it.
    """
    try:
        return _read(folder.front)
    except DamagedTable as error:
        return _made_anew(folder, error).front


def mend_tables(folder: SearchFolder, log: TrialLog, leaves: Sequence[Leaf]) -> None:
    """Write the tables of ``log`` if one in ``folder`` is missing or damaged.

    Raises:
        RecordsError: A later version of tunebox wrote one.
        OSError: The disk is full, or the folder is gone.
    """
    try:
        for path in (folder.trials, folder.history, folder.front):
            _read(path)
    except DamagedTable as error:
        write_tables(folder, log, leaves)
        _log.warning("%s; %s", error, _MADE_ANEW)


def check_against_tables(folder: SearchFolder, log: TrialLog) -> None:
    """Raise RecordsError if the tables have results of trials that ``log`` lacks.

    The end of a trial is in the journal, on the disk, before it is in the tables: a journal that
    lacks it has been cut, or is an old copy. Its lines are intact, so that nothing else shows it.

    Args:
        folder: Folder of the search; tables that are missing or damaged say nothing.
        log: The trials of the journal.
    """
    try:
        table = _read(folder.trials)
    except DamagedTable:
        return
    columns = _checked(folder.trials, lambda: table.select(["trial_id", "state", "epochs"]))
    known = {trial_id: trial.epochs for trial_id, trial in log.trials.items()}
    lost = [
        row["trial_id"]
        for row in columns.to_pylist()
        if row["state"] in _WITH_RESULT and known.get(row["trial_id"], 0) < row["epochs"]
    ]
    if lost:
        raise RecordsError(
            f"{folder.journal} lacks the results of {len(lost)} trials that {folder.trials} has, "
            f"such as {lost[0]}: put it back as it was; or, to run them again without these "
            f"results, first: {shell_command('rm', folder.trials)}"
        )


def _made_anew(folder: SearchFolder, damage: DamagedTable) -> _Tables:
    try:
        log, leaves, warning = log_from_journal(folder)
    except TuneboxError as error:
        raise RecordsError(f"{damage}; nor can it be made anew: {error}") from error
    tables = _tables(folder.name, log, leaves)
    if holder(folder.lock) is None:  # a search that runs writes them soon
        with suppress(OSError):  # of a folder that may not be written to
            tables.write(folder)
    _log.warning("%s; %s", damage, _MADE_ANEW)
    if warning is not None:
        _log.warning("%s", warning)
    return tables


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
    columns["seed"] = pa.array([t.seed for t in trials], pa.uint64())
    gains = [t.expected_gain for t in trials]
    if any(gain is not None for gain in gains):
        columns["expected_gain"] = pa.array(gains, pa.float64())
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


def _read(path: Path) -> pa.Table:
    if path.is_dir():
        raise DamagedTable(f"{path} is a folder and no table; move it away")
    if not path.is_file():
        raise DamagedTable(f"{path} is missing; a search writes it within seconds of its start")
    table, has_checksum = read_table(path)
    _checked(path, lambda: table.validate(full=True))  # such as text that is none
    _checked(path, lambda: read_header(table.schema, has_checksum))
    return table


def _checked(path: Path, read: Callable[[], _Result]) -> _Result:
    """Return the result of ``read``; turn its errors on damaged content into one with the path."""
    try:
        return read()
    except RecordsError as error:  # a later version wrote it
        raise RecordsError(f"{path} cannot be read: {error}") from error
    except Exception as error:  # it may be damaged, or written by another program, in any way
        raise DamagedTable(f"{path} cannot be read: {describe_error(error)}") from error


def _log_of(folder: SearchFolder, trials: pa.Table, history: pa.Table) -> TrialLog:
    log = _checked(folder.trials, lambda: _log_from(trials))
    _checked(folder.history, lambda: _add_history(log, history))
    _checked(folder.history, log.front)  # fails where a metric of an objective is missing
    return log


def _log_from(table: pa.Table) -> TrialLog:
    header = read_header(table.schema, has_checksum=True)  # it has been checked
    log = TrialLog(header.objectives, header.constraints)
    starts, ends = _seconds(table["start_time"]), _seconds(table["end_time"])
    rows = table.drop_columns(["start_time", "end_time"]).to_pylist()
    for row, start_time, end_time in zip(rows, starts, ends, strict=True):
        if start_time is None:
            raise ValueError(f"{row['trial_id']} has no start_time")
        check_name(row["trial_id"])  # it is also the name of a folder
        log.trials[row["trial_id"]] = TrialRecord(
            trial_id=row["trial_id"],
            settings=read_settings(row, header),
            start_time=start_time,
            state=TrialState(row["state"]),
            reason=as_text(row["reason"]),
            node=as_text(row["node"]),
            checkpoint=as_text(row["checkpoint"]),
            end_time=end_time,
            seed=row.get("seed"),  # 0.1.0 wrote none
            expected_gain=as_number(row.get("expected_gain")),  # only where there was a model
        )
    return log


def _add_history(log: TrialLog, table: pa.Table) -> None:
    ids, epochs = table["trial_id"].to_pylist(), table["epoch"].cast(pa.int64()).to_pylist()
    names = [name for name in table.column_names if name not in _REPORT_COLUMNS]
    columns = [table[name].cast(pa.float64()).to_pylist() for name in names]
    values = zip(*columns, strict=True) if columns else itertools.repeat((), len(ids))
    for trial_id, epoch, time, row in zip(
        ids, epochs, _seconds(table["time"]), values, strict=True
    ):
        if trial_id not in log.trials:
            continue  # the search was killed between writing the history and the trials
        if time is None or epoch is None:
            raise ValueError(f"a report of {trial_id} has no time or no epoch")
        metrics = {name: value for name, value in zip(names, row, strict=True) if value is not None}
        log.trials[trial_id].history.append(Report(epoch, metrics, time))


def _seconds(moments: pa.ChunkedArray) -> list[float | None]:
    microseconds = moments.cast(pa.int64()).to_pylist()  # a datetime for each would be slow
    return [None if value is None else value / 1e6 for value in microseconds]
