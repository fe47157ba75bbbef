"""Where the files of a search are: ``<out>/<name>/``."""

from dataclasses import dataclass
from pathlib import Path

from tunebox.errors import RecordsError
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
    def ray(self) -> Path:
        """Ray's own files and the checkpoints."""
        return self.root / "ray"

    @property
    def mlflow_ids(self) -> Path:
        """Which MLflow runs belong to the search: JSON, without credentials."""
        return self.root / "mlflow.json"

    @property
    def outbox(self) -> Path:
        """What is on its way to MLflow: JSON lines, without credentials."""
        return self.root / "mlflow_outbox.jsonl"


def create_folder(out: Path, name: str) -> SearchFolder:
    """Make the folder of a new search.

    Raises:
        RecordsError: The name is taken, or the folder cannot be made.
    """
    folder = SearchFolder(out / name)
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder.root.mkdir()  # fails for the second of two searches that start at once
    except FileExistsError as error:
        if not out.is_dir():
            raise RecordsError(f"{out} is a file; choose another folder with --out") from error
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
    prefix = f"{stem}-"
    names = [path.name for path in out.iterdir()] if out.is_dir() else []
    tails = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    numbers = [int(tail) for tail in tails if tail.isascii() and tail.isdigit()]
    return f"{prefix}{max(numbers, default=0) + 1}"


def _is_search(path: Path) -> bool:
    return (path / "search.yaml").is_file()
