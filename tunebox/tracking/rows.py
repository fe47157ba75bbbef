"""Writes many MLflow runs at once into the database that MLflow keeps them in.

MLflow's client looks at a run again in each of its calls, which takes a hundred times as long as
to write it. The rows here are those that its calls would leave; what cannot be written like this,
for whatever reason, is left to the client.
"""

import math
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mlflow.store.tracking.dbmodels import models
from mlflow.utils.uri import append_to_uri_path
from sqlalchemy import Connection, Engine, Table, delete, insert, select, update

from tunebox.tracking import values
from tunebox.tracking.runs import RunState, SentRun, Update

_RUNS, _TAGS, _PARAMS, _METRICS, _LATEST = (
    table.__table__
    for table in (
        *(models.SqlRun, models.SqlTag, models.SqlParam),
        *(models.SqlMetric, models.SqlLatestMetric),
    )
)
_HUGE = 1.7976931348623157e308  # what MLflow keeps of infinity
_Row = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """What a run is to get."""

    wanted: RunState
    update: Update  # without files and tables
    sent: SentRun | None  # what it has; None: the run is to be made
    extra_tags: dict[str, str]  # of a new run


class RowWriter:
    """Writes the runs of one experiment."""

    def __init__(self, engine: Engine, experiment: Any) -> None:
        """Take the database of MLflow's store, and an experiment as its client returns it."""
        self._engine = engine
        self._experiment = experiment

    def write(self, changes: Sequence[Change]) -> list[SentRun]:
        """Write all of ``changes`` in one transaction; return what the runs then have.

        Raises:
            LookupError: A run was deleted.
            SQLAlchemyError: The database does not take them; after a lost connection it may have.
        """
        known = [change.sent or SentRun(uuid.uuid4().hex) for change in changes]
        both = list(zip(changes, known, strict=True))
        with self._engine.connect() as connection:
            if self._engine.dialect.name == "sqlite":  # another process may be writing
                connection.exec_driver_sql("PRAGMA busy_timeout = 20000")
                connection.commit()
            with connection.begin():
                new = [(change, run.run_id) for change, run in both if change.sent is None]
                _insert(connection, _RUNS, (self._run(change, run_id) for change, run_id in new))
                _insert(connection, _TAGS, (row for one in new for row in _first_tags(*one)))
                old = [(change.update, run.run_id) for change, run in both if change.sent]
                _make_room(connection, old)
                _insert(connection, _TAGS, (row for one in old for row in _tags(*one)))
                every = [(change.update, run.run_id) for change, run in both]
                _insert(connection, _PARAMS, (row for one in every for row in _params(*one)))
                _insert(connection, _METRICS, (row for one in every for row in _metrics(*one)))
                _insert(connection, _LATEST, (row for one in every for row in _latest(*one)))
        return [
            replace(run.having(change.update), tags=change.wanted.tags)
            if change.sent is None
            else run.having(change.update)
            for change, run in both
        ]

    def _run(self, change: Change, run_id: str) -> _Row:
        wanted = change.wanted
        status, end_time = change.update.status or ("RUNNING", None)
        return {
            "run_uuid": run_id,
            "name": wanted.name,
            "experiment_id": int(self._experiment.experiment_id),
            "artifact_uri": self._artifacts(run_id),
            "user_id": "unknown",
            "status": status,
            "start_time": values.milliseconds(wanted.start_time),
            "end_time": None if end_time is None else values.milliseconds(end_time),
            "lifecycle_stage": "active",
            "source_type": "UNKNOWN",
            **{"source_name": "", "source_version": "", "entry_point_name": ""},
        }

    def _artifacts(self, run_id: str) -> str:
        append: Any = append_to_uri_path  # which has no types
        return str(append(self._experiment.artifact_location, run_id, "artifacts"))


def _make_room(connection: Connection, changes: Sequence[tuple[Update, str]]) -> None:
    """Change the status of runs that are there, and take away what is written anew."""
    ids = [run_id for _, run_id in changes]
    is_active = (_RUNS.c.run_uuid.in_(ids), _RUNS.c.lifecycle_stage == "active")
    if len(connection.execute(select(_RUNS.c.run_uuid).where(*is_active)).all()) < len(ids):
        raise LookupError("a run was deleted")
    for change, run_id in changes:
        tags = [values.key(name) for name in change.tags]
        latest = [row["key"] for row in _latest(change, run_id)]
        for table, keys in ((_TAGS, tags), (_LATEST, latest)):
            if keys:
                is_old = (table.c.run_uuid == run_id, table.c.key.in_(keys))
                connection.execute(delete(table).where(*is_old))
        if change.status is not None:
            status, end_time = change.status
            end = None if end_time is None else values.milliseconds(end_time)
            now = {"status": status, **({} if end is None else {"end_time": end})}
            connection.execute(update(_RUNS).where(_RUNS.c.run_uuid == run_id).values(**now))


def _first_tags(change: Change, run_id: str) -> Iterator[_Row]:
    tags = {"mlflow.runName": change.wanted.name, **change.wanted.tags, **change.extra_tags}
    return _tags(Update(tags=tags), run_id)


def _tags(change: Update, run_id: str) -> Iterator[_Row]:
    for name, tag in change.tags.items():
        if tag is not None:
            yield {"run_uuid": run_id, "key": values.key(name), "value": values.tag(tag)}


def _params(change: Update, run_id: str) -> Iterator[_Row]:
    for name, value in change.params.items():
        yield {"run_uuid": run_id, "key": values.key(name), "value": values.param(value)}


def _metrics(change: Update, run_id: str) -> Iterator[_Row]:
    for point in change.points:
        at = {"timestamp": values.milliseconds(point.time), "step": point.epoch}
        for name, value in point.metrics.items():
            yield {"run_uuid": run_id, "key": values.key(name), **at, **_number(value)}


def _latest(change: Update, run_id: str) -> Iterator[_Row]:
    yield from {row["key"]: row for row in _metrics(change, run_id)}.values()


def _number(value: float) -> _Row:
    if math.isnan(value):
        return {"value": 0.0, "is_nan": True}
    return {"value": min(max(float(value), -_HUGE), _HUGE), "is_nan": False}


def _insert(connection: Connection, table: Table, rows: Iterator[_Row]) -> None:
    found = list(rows)
    if found:
        connection.execute(insert(table), found)
