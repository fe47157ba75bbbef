"""Which MLflow runs belong to a search, in a file of its folder: JSON, without credentials."""

import json
from pathlib import Path
from typing import Any

from tunebox.records.files import check_format, write_text

FORMAT = 1


def write_ids(path: Path, ids: dict[str, Any]) -> None:
    """Write ``ids``, among them ``search_id``, what the search is called in MLflow.

    Raises:
        OSError: The disk is full, or the folder is gone.
    """
    write_text(path, json.dumps({"format": FORMAT, **ids}, indent=2) + "\n")


def read_search_id(path: Path) -> str | None:
    """Return what the search was called in MLflow, None if that cannot be read.

    Raises:
        RecordsError: A later version of tunebox wrote the file.
    """
    try:
        ids = dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    check_format(path, ids, FORMAT)
    search_id = ids.get("search_id")
    return None if search_id is None else str(search_id)
