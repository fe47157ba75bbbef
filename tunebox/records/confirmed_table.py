"""``confirmed.parquet`` in the folder of a search: its trials after training with new seeds."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from tunebox import __version__
from tunebox.decisions.confirmed import Confirmed, confirmed
from tunebox.decisions.trials import TrialLog
from tunebox.errors import RecordsError, reading
from tunebox.pareto.objectives import FloatArray
from tunebox.records.confirm_plan import ConfirmPlan
from tunebox.records.files import check_format
from tunebox.records.record_writer import RecordWriter
from tunebox.records.search_folder import SearchFolder
from tunebox.records.table_file import table_in, write_table
from tunebox.text import shell_command

_KEY, _FORMAT = b"tunebox.confirmed", 1
_PLAIN = {  # fields that are columns as they are
    "trial_id": pa.string(),
    "num_seeds": pa.int64(),
    "num_collapsed": pa.int64(),
    "front_share": pa.float64(),
    "on_front": pa.bool_(),
    "is_knee": pa.bool_(),
    "alike": pa.list_(pa.string()),
}
_ESTIMATES = {"means": "mean", "test_means": "test"}  # field: column, also with _half_width
_CONFIRMED = TypeAdapter(Confirmed)
_VALUES = {"searched": "searched", "best_guesses": "best_guess"}


class ConfirmedWriter(RecordWriter):
    """Writes the table when a confirmation ends, with what there is by then."""

    def __init__(
        self,
        folder: SearchFolder,
        plan: ConfirmPlan,
        log: TrialLog,
        front: Sequence[str],
        finished: FloatArray,
    ) -> None:
        """Take the retrainings of a search.

        Args:
            folder: The folder of the search that is confirmed.
            plan: What is repeated.
            log: The retrainings; brought up to date before each event.
            front: The trials on the search's own front.
            finished: Costs of the trials that finished in the search, as `finished_costs` gives
                them.
        """
        super().__init__(folder, log)
        self._plan = plan
        self._front = front
        self._finished = finished

    def write(self) -> None:
        """Write the table unless no retraining has ended."""
        result = confirmed(self._plan.candidates, self.log, self._front, self._finished)
        if result is not None:
            write_confirmed(self.folder, result)


def write_confirmed(folder: SearchFolder, result: Confirmed) -> None:
    """Write the table, in place of an earlier one.

    Columns: ``searched/<objective>``, ``mean/<objective>``, ``mean_half_width/<objective>``, the
    same with ``test``, ``best_guess/<objective>``, and more; a row a trial, the front first.

    Raises:
        RecordsError: The folder cannot be written.
    """
    trials = result.trials
    columns: dict[str, Any] = {
        name: pa.array([getattr(trial, name) for trial in trials], kind)
        for name, kind in _PLAIN.items()
    }
    for objective in result.objectives:
        for field, column in _VALUES.items():
            values = [getattr(trial, field).get(objective) for trial in trials]
            columns[f"{column}/{objective}"] = pa.array(values, pa.float64())
        for field, column in _ESTIMATES.items():
            found = [getattr(trial, field).get(objective) for trial in trials]
            values = [None if one is None else one.value for one in found]
            widths = [None if one is None else one.half_width for one in found]
            columns[f"{column}/{objective}"] = pa.array(values, pa.float64())
            columns[f"{column}_half_width/{objective}"] = pa.array(widths, pa.float64())
    rest = {
        "format": _FORMAT,
        "version": __version__,
        "objectives": result.objectives,
        "hypervolume": asdict(result.hypervolume),
        "too_good": {name: asdict(one) for name, one in result.too_good.items()},
        "too_good_on_test": {name: asdict(one) for name, one in result.too_good_on_test.items()},
    }
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(rest).encode()})
    try:
        write_table(table, folder.confirmed)
    except OSError as error:
        raise RecordsError(f"{folder.confirmed} cannot be written: {error.strerror}") from error


def read_confirmed(folder: SearchFolder) -> Confirmed | None:
    """Return what the confirmation of a search found; None if it was not confirmed.

    Raises:
        RecordsError: The table is damaged, or a newer tunebox wrote it.
    """
    path = folder.confirmed
    if not path.is_file():
        return None
    again = shell_command("tunebox", "confirm", folder.name, *folder.out_option)
    with reading(path, problem="cannot be read as a table", advice=f"{again} writes it anew"):
        table, _ = table_in(path.read_bytes())
        rest = json.loads(table.schema.metadata[_KEY])
        check_format(path, rest, _FORMAT)
        names = tuple(rest["objectives"])
        fields = ("hypervolume", "too_good", "too_good_on_test")
        return _CONFIRMED.validate_python(
            {
                "trials": [_trial(row, names) for row in table.to_pylist()],
                "objectives": names,
                **{field: rest[field] for field in fields},
            }
        )


def _trial(row: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of a `ConfirmedTrial`."""
    fields: dict[str, Any] = {name: row[name] for name in _PLAIN}
    fields["alike"] = tuple(fields["alike"])
    for field, column in _VALUES.items():
        values = {name: row[f"{column}/{name}"] for name in names}
        fields[field] = {name: value for name, value in values.items() if value is not None}
    for field, column in _ESTIMATES.items():
        fields[field] = {
            name: {
                "value": row[f"{column}/{name}"],
                "half_width": row[f"{column}_half_width/{name}"],
            }
            for name in names
            if field == "means" or row[f"{column}/{name}"] is not None
        }
    return fields
