"""Notices that MLflow's store was deleted, emptied or replaced while it is in use.

On Linux and macOS a connection goes on writing into a file that was deleted, without any error.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from tunebox.errors import RecordsError
from tunebox.tracking.sqlite_uri import sqlite_file


class LostRunError(RecordsError):
    """A run or an experiment that was there is gone, as after a store was emptied."""


class StoreFile:
    """The file of MLflow's store as it was when this was made."""

    def __init__(self, uri: str) -> None:
        """Take the store at ``uri``; a store that is no SQLite file is never lost."""
        self._path = sqlite_file(uri)
        self._first = self._now()

    @property
    def is_lost(self) -> bool:
        """Whether another file, an empty one or none is in its place."""
        return self._path is not None and (self._first is None or self._now() != self._first)

    def _now(self) -> tuple[int, int] | None:
        """Return device and number of the file; None if it is missing or empty."""
        try:
            found = None if self._path is None else self._path.stat()
        except FileNotFoundError:
            return None
        return (found.st_dev, found.st_ino) if found and found.st_size else None


def check_opens(file: Path) -> None:
    """Raise `sqlite3.Error` if ``file`` is no database of SQLite, which may be empty or missing.

    MLflow would try for minutes before it says so.
    """
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA schema_version").fetchone()


def open_again(uri: str) -> None:
    """Let MLflow open the SQLite file at ``uri`` anew, and make it where it is missing.

    MLflow keeps its connections to a file as long as the process lives.

    Raises:
        sqlite3.Error: It is no database, or cannot be opened.
    """
    file = sqlite_file(uri)
    if file is not None:
        check_opens(file)
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    store = getattr(getattr(client, "_tracking_client", None), "store", None)
    if isinstance(store, SqlAlchemyStore):
        store.engine.dispose()
        type(store)(uri, store.artifact_root_uri)  # makes the tables, with the same engine
