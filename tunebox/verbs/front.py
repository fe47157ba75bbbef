"""``tunebox front`` for Python: the front of a search as a table."""

from pathlib import Path
from typing import TYPE_CHECKING

from tunebox.records.trial_tables import read_front
from tunebox.verbs.results import find_search

if TYPE_CHECKING:
    import pyarrow as pa


def front(name: str, out: str | Path | None = None) -> "pa.Table":
    """Return the front of the search ``name``: one row per trial, sorted by the first objective.

    Columns: ``trial_id``, the path of every searched setting, ``last/<metric>``, ``best/<metric>``,
    ``epochs`` and more. ``.to_pylist()`` returns rows, ``.to_pandas()`` a data frame.

    Raises:
        RecordsError: There is no such search in ``out``.
    """
    return read_front(find_search(name, out))
