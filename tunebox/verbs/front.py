"""``tunebox front`` for Python: the front of a search as a table."""

from pathlib import Path
from typing import TYPE_CHECKING

from tunebox.records.trial_tables import read_front
from tunebox.verbs.results import find_search

if TYPE_CHECKING:
    import pyarrow as pa


def front(name: str, out: str | Path | None = None) -> "pa.Table":
    """Return the front of the search ``name``: a row a trial, best in the first objective first.

    Columns: ``trial_id``, the path of every searched leaf, ``last/<metric>``, ``best/<metric>``,
    ``epochs`` and more. ``.to_pylist()`` makes rows of it, ``.to_pandas()`` a data frame.

    Raises:
        RecordsError: There is no such search in ``out``.
    """
    return read_front(find_search(name, out))
