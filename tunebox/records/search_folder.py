"""Where the files of a search are: ``<out>/<name>/``."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tunebox.errors import RecordsError
from tunebox.records.files import sync_folder
from tunebox.records.lock import holder
from tunebox.spec.search_spec import check_name


@dataclass(frozen=True)
class SearchFolder:
    """The folder of one search, and the files in it."""

    root: Path

    @property
    def name(self) -> str:
        """The name of the search."""
        return self.root.name

    @property
    def search_file(self) -> Path:
        """The search as it ran, every setting written out."""
        return self.root / "search.yaml"

    @property
    def trials(self) -> Path:
        """A row for each trial."""
        return self.root / "trials.parquet"

    @property
    def history(self) -> Path:
        """A row for each report of a trial."""
        return self.root / "history.parquet"

    @property
    def front(self) -> Path:
        """The rows of the trials on the front, in the front's order."""
        return self.root / "front.parquet"

    @property
    def front_html(self) -> Path:
        """The front as a page that opens without a network."""
        return self.root / "front.html"

    @property
    def front_png(self) -> Path:
        """The front as a picture."""
        return self.root / "front.png"

    @property
    def checkpoints(self) -> Path:
        """A folder for each trial whose weights are kept: of the front and of unfinished ones."""
        return self.root / "checkpoints"

    @property
    def errors(self) -> Path:
        """The traceback of each trial that raised, ``<trial_id>.txt``."""
        return self.root / "errors"

    @property
    def journal(self) -> Path:
        """Everything that happened in the search, as it happened: what a resume starts from."""
        return self.root / "journal.jsonl"

    @property
    def warm_start(self) -> Path:
        """The trials of earlier searches that the search learned from, if any."""
        return self.root / "warm_start.json"

    @property
    def lock(self) -> Path:
        """Held by the process that runs the search."""
        return self.root / "lock"

    @property
    def run_end(self) -> Path:
        """How the last run of the search ended; absent while it runs."""
        return self.root / "end.json"

    @property
    def mlflow_ids(self) -> Path:
        """Which MLflow runs belong to the search: JSON, without credentials."""
        return self.root / "mlflow.json"

    @property
    def outbox(self) -> Path:
        """What is on its way to MLflow: JSON lines, without credentials."""
        return self.root / "mlflow_outbox.jsonl"


def check_free(out: Path, name: str) -> None:
    """Raise RecordsError if there is something called ``name`` in ``out``."""
    root = out / name
    if not root.exists() or _is_left_empty(root):
        return
    who = holder(SearchFolder(root).lock)
    if who is not None:
        raise RecordsError(f"{root} is in use by {who}; choose another name with --name")
    go_on = f"go on with it (--resume {name}) or " if _is_search(root) else ""
    raise RecordsError(f"{root} exists already; {go_on}choose another name with --name")


def create_folder(out: Path, name: str) -> SearchFolder:
    """Make the folder of a new search.

    Raises:
        RecordsError: The name is taken, or the folder cannot be made.
    """
    folder = SearchFolder(out / name)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if _is_left_empty(folder.root):
            shutil.rmtree(folder.root)
        folder.root.mkdir()  # fails for the second of two searches that start at once
        sync_folder(out)
    except FileExistsError as error:
        if not out.is_dir():
            raise RecordsError(f"{out} is a file; choose another folder with --out") from error
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
        found = _is_search(folder.root)
    except ValueError:
        found = False
    if found:
        return folder
    there = list_searches(out)
    known = f"it has {', '.join(there)}" if there else "it has none"
    raise RecordsError(f"no search {name!r} in {out}; {known}; --out names another folder")


def list_searches(out: Path) -> list[str]:
    """Return the names of the searches in ``out``, in alphabetical order; none if it is absent."""
    if not out.is_dir():
        return []
    return sorted(path.name for path in out.iterdir() if _is_search(path))


def next_free_name(out: Path, stem: str) -> str:
    """Return ``<stem>-<number>`` with the first number above those taken in ``out``, from 1."""
    return next_name(list_names(out), stem)


def list_names(out: Path) -> list[str]:
    """Return the names of all that is in ``out``, in no order; none if it is absent."""
    return [path.name for path in out.iterdir()] if out.is_dir() else []


def next_name(names: Iterable[str], stem: str) -> str:
    """Return ``<stem>-<number>`` with the first number above those in ``names``, from 1."""
    prefix = f"{stem}-"
    tails = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    numbers = [int(tail) for tail in tails if tail.isascii() and tail.isdigit()]
    return f"{prefix}{max(numbers, default=0) + 1}"


def _is_left_empty(root: Path) -> bool:
    """Whether a search was killed in the moment in which it made this folder."""
    first = ("lock", "journal.jsonl", "warm_start.json")  # then comes search.yaml
    if not root.is_dir() or holder(SearchFolder(root).lock) is not None:
        return False
    return all(path.name in first or path.name.startswith(".") for path in root.iterdir())


def _is_search(path: Path) -> bool:
    return (path / "search.yaml").is_file()
