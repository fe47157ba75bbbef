"""The folder of a search, ``<out>/<name>/``, and the names of its files."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tunebox.errors import RecordsError
from tunebox.records.files import sync_folder
from tunebox.records.lock import holder
from tunebox.spec.search_settings import check_name, default_out


@dataclass(frozen=True)
class SearchFolder:
    """The folder of one search, and the files in it."""

    root: Path

    @property
    def name(self) -> str:
        """The name of the search."""
        return self.root.name

    @property
    def out_option(self) -> list[str]:
        """The words ``--out FOLDER`` of a command on this search; none for the default folder."""
        out = str(self.root.parent)
        return [] if out == default_out() else ["--out", out]

    @property
    def search_file(self) -> Path:
        """The search file as run, with every setting written out."""
        return self.root / "search.yaml"

    @property
    def trials(self) -> Path:
        """The table with one row per trial."""
        return self.root / "trials.parquet"

    @property
    def history(self) -> Path:
        """The table with one row per report of a trial."""
        return self.root / "history.parquet"

    @property
    def front(self) -> Path:
        """The table with the rows of the trials on the front, in its order."""
        return self.root / "front.parquet"

    @property
    def report(self) -> Path:
        """The search as an HTML page that needs no network."""
        return self.root / "report.html"

    @property
    def front_png(self) -> Path:
        """The front as a picture."""
        return self.root / "front.png"

    @property
    def code(self) -> Path:
        """Folder with copies of the code of the user's own that the search runs."""
        return self.root / "code"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints, with one folder per trial on the front or unfinished."""
        return self.root / "checkpoints"

    @property
    def errors(self) -> Path:
        """The folder of tracebacks, with one file ``<trial_id>.txt`` per trial that raised."""
        return self.root / "errors"

    @property
    def journal(self) -> Path:
        """The log of all events of the search, from which a resume starts."""
        return self.root / "journal.jsonl"

    @property
    def warm_start(self) -> Path:
        """The trials of earlier searches that the search learned from, if any."""
        return self.root / "warm_start.json"

    @property
    def bad_files(self) -> Path:
        """Paths and reasons of the images that the search leaves out; absent if there are none."""
        return self.root / "bad_files.txt"

    @property
    def confirm(self) -> Path:
        """What this search repeats, if it is the confirmation of another."""
        return self.root / "confirm.json"

    @property
    def confirmed(self) -> Path:
        """The table of what the confirmation of this search found, if there is one."""
        return self.root / "confirmed.parquet"

    @property
    def test_looks(self) -> Path:
        """Each look at the test set, a line each."""
        return self.root / "test_looks.jsonl"

    @property
    def lock(self) -> Path:
        """The lock that is held by the process that runs the search."""
        return self.root / "lock"

    @property
    def run_end(self) -> Path:
        """How the last run of the search ended; the file is absent while it runs."""
        return self.root / "end.json"

    @property
    def mlflow(self) -> Path:
        """Where the MLflow runs of the search are; has no credentials."""
        return self.root / "mlflow.json"

    @property
    def outbox(self) -> Path:
        """The file of version 0.1.0 about all MLflow runs of the search."""
        return self.root / "mlflow_outbox.jsonl"

    def check_files(self) -> None:
        """Raise RecordsError if a folder is where a search writes one of its files."""
        tables = (self.trials, self.history, self.front, self.confirmed)
        for path in (*tables, self.report, self.front_png, self.run_end, self.mlflow):
            if path.is_dir():
                raise RecordsError(f"{path} is a folder, where a search has a file; move it away")


def check_free(out: Path, name: str) -> None:
    """Raise RecordsError if ``name`` is taken in ``out``."""
    root = out / name
    if not os.path.exists(root) or _is_left_empty(root):  # Path raises for a name that is none
        return
    who = holder(SearchFolder(root).lock)
    if who is not None:
        raise RecordsError(f"{root} is in use by {who}; choose another name with --name")
    go_on = f"go on with it (--resume {name}) or " if _is_search(root) else ""
    raise RecordsError(f"{root} exists already; {go_on}choose another name with --name")


@contextmanager
def reserved_name(out: Path, name: str | None, stem: str) -> Iterator[str]:
    """Yield the name of a new search, which no other search that starts in the block gets.

    Args:
        out: Folder of all searches.
        name: The name that the user chose; None for ``<stem>-<number>``, see `next_free_name`. Its
            empty folder reserves it, and goes with the block unless the search has filled it.
        stem: Name of the search file.

    Raises:
        RecordsError: The name is taken, or the folder cannot be made.
    """
    if name is not None:
        check_free(out, name)
        yield name
        return
    is_new = not os.path.exists(out)
    name = _reserve(out, stem)
    try:
        yield name
    finally:
        with suppress(OSError):  # it is not empty
            (out / name).rmdir()
            if is_new:
                out.rmdir()


def _reserve(out: Path, stem: str) -> str:
    _make_out(out)
    while True:
        name = next_free_name(out, stem)
        try:
            (out / name).mkdir()
        except FileExistsError:  # another search started at the same time
            continue
        except OSError as error:
            raise RecordsError(f"{out / name} cannot be made: {error.strerror}") from error
        return name


def _make_out(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise RecordsError(f"{out} is a file; choose another folder with --out") from error
    except OSError as error:
        raise RecordsError(f"{out} cannot be made: {error.strerror}") from error
    except ValueError as error:  # a zero in it, or half a character
        raise RecordsError(f"{str(out)!r} cannot be made: it is no name of a folder") from error


def create_folder(out: Path, name: str) -> SearchFolder:
    """Make the folder of a new search.

    Raises:
        RecordsError: The name is taken, or the folder cannot be made.
    """
    folder = SearchFolder(out / name)
    _make_out(out)
    try:
        if not _is_reserved(folder.root):
            if _is_left_empty(folder.root):
                shutil.rmtree(folder.root)
            folder.root.mkdir()  # fails for the second of two searches that start at once
        sync_folder(out)
    except FileExistsError as error:
        check_free(out, name)
        raise RecordsError(
            f"{folder.root} exists already; choose another name with --name"
        ) from error
    except OSError as error:
        raise RecordsError(f"{folder.root} cannot be made: {error.strerror or error}") from error
    return folder


def open_folder(out: Path, name: str) -> SearchFolder:
    """Return the folder of a search that has been run or is running.

    Raises:
        RecordsError: There is no such search in ``out``.
    """
    folder = SearchFolder(out / name)
    try:
        check_name(name)  # a name such as ../other must not lead out of the folder
        is_folder = folder.root.is_dir()
    except ValueError:
        is_folder = False
    if is_folder and _is_search(folder.root):
        return folder
    if is_folder:
        raise RecordsError(
            f"{folder.root} has no search.yaml: it is a search that is still starting, or none"
        )
    there = list_searches(out)
    known = f"it has {', '.join(there)}" if there else "it has none"
    raise RecordsError(f"no search {name!r} in {out}; {known}; --out names another folder")


def list_searches(out: Path) -> list[str]:
    """Return the names of the searches in ``out``, in alphabetical order; none if it is absent."""
    if not out.is_dir():
        return []
    return sorted(path.name for path in out.iterdir() if _is_search(path))


def next_free_name(out: Path, stem: str) -> str:
    """Return ``<stem>-<number>`` with the number after the largest one in ``out``, from 1."""
    return next_name(list_names(out), stem)


def list_names(out: Path) -> list[str]:
    """Return the names of everything in ``out``, in no order; none if it is absent."""
    return [path.name for path in out.iterdir()] if out.is_dir() else []


def next_name(names: Iterable[str], stem: str) -> str:
    """Return ``<stem>-<number>`` with the number after the largest one in ``names``, from 1."""
    prefix = f"{stem}-"
    tails = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    numbers = [int(tail) for tail in tails if tail.isascii() and tail.isdigit()]
    return f"{prefix}{max(numbers, default=0) + 1}"


def _is_reserved(root: Path) -> bool:
    return root.is_dir() and not any(root.iterdir())


def _is_left_empty(root: Path) -> bool:
    """Return whether a search was killed while it created this folder."""
    first = ("lock", "journal.jsonl", "warm_start.json")  # written before search.yaml
    if not root.is_dir() or holder(SearchFolder(root).lock) is not None:
        return False
    return all(path.name in first or path.name.startswith(".") for path in root.iterdir())


def _is_search(path: Path) -> bool:
    return (path / "search.yaml").is_file()
