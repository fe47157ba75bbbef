"""What the verbs do, for Python: search, train, evaluate, export and read the front."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tunebox.errors import RecordsError, SearchFileError
from tunebox.evaluate import evaluate
from tunebox.records.search_folder import (
    SearchFolder,
    create_folder,
    next_free_name,
    open_folder,
)
from tunebox.records.tracking import (
    front_filter,
    public_uri,
    resolve_tracking_uri,
)
from tunebox.records.trial_tables import read_front as _read_front
from tunebox.records.trial_tables import read_log
from tunebox.spec.load import load_spec
from tunebox.spec.search_spec import DEFAULT_OUT, SearchSpec
from tunebox.train import train
from tunebox.trials import TrialLog

if TYPE_CHECKING:
    import pyarrow as pa

    from tunebox.models.base import Classifier
    from tunebox.records.sync import SyncResult

__all__ = ["evaluate", "export", "load_model", "read_front", "search", "sync", "train"]


@dataclass(frozen=True)
class SearchResult:
    """What a search leaves behind."""

    name: str
    out: str
    folder: SearchFolder
    log: TrialLog
    tracking_uri: str  # without credentials
    interrupted: bool
    warnings: list[str]
    front_filter: str = front_filter


def search(
    file: str = "digits",
    *,
    tracking_uri: str | None = None,
    console: Console | None = None,
    **options: Any,
) -> SearchResult:
    """Search ``file`` on the Ray cluster at hand and return what was found.

    Args:
        file: A search file, the name of a shipped one, or ``-`` for standard input.
        tracking_uri: Of MLflow; None for ``MLFLOW_TRACKING_URI``, else a database in ``out``.
        console: Where to show progress; None shows nothing.
        options: Any setting of ``search`` in a search file (``trials``, ``max_epochs``,
            ``time_budget``, ``seed``, ``name``, ``out``, ..); they win over the file's.

    Raises:
        TuneboxError: Something that a person can put right; nothing has been written.
    """
    from tunebox.data.check import check_data, prepare_data

    spec = load_spec(file, options)
    if not spec.space.leaves:
        raise SearchFileError(
            f"{spec.source.name}: nothing to search, no setting is a distribution; "
            "train it with: tunebox train"
        )
    out = Path(spec.search.out)
    name = spec.search.name or next_free_name(out, spec.stem)
    if (out / name).exists():
        raise RecordsError(f"{out / name} exists already; choose another name with --name")
    named = spec.search.model_copy(update={"name": name})
    spec = replace(spec, search=named)  # so that the records have the name
    uri = resolve_tracking_uri(tracking_uri, out)
    data = _fixed_config(spec).data
    check_data(data)

    from tunebox.search.cluster import check_resources, connect

    with connect(spec.search.address) as cluster:
        check_resources(spec.search)
        prepare_data(data)
        if console is not None:
            console.print(f"{name}: {cluster}", soft_wrap=True, highlight=False)
        return _search(spec, name, uri, console)


def _search(spec: SearchSpec, name: str, uri: str, console: Console | None) -> SearchResult:
    from tunebox.progress import SearchProgress
    from tunebox.records.mlflow_runs import MlflowRuns
    from tunebox.records.recorder import SearchRecorder
    from tunebox.search.run import run_search
    from tunebox.trials import SearchObserver

    out = Path(spec.search.out)
    folder = create_folder(out, name)
    recorder = SearchRecorder(folder, spec, MlflowRuns(uri, out, folder.mlflow_ids, folder.outbox))
    observers: list[SearchObserver] = [recorder]
    if console is not None:
        observers.insert(0, SearchProgress(console, name, spec.search))
    log, interrupted = run_search(spec, spec.objective_set, folder.root.absolute(), observers)
    return SearchResult(
        name, spec.search.out, folder, log, public_uri(uri), interrupted, recorder.warnings
    )


def find_search(name: str, out: str | None = None) -> SearchFolder:
    """Return the folder of the search ``name``.

    Raises:
        RecordsError: There is no such search in ``out``.
    """
    return open_folder(Path(out or DEFAULT_OUT), name)


def read_search(folder: SearchFolder) -> TrialLog:
    """Return all trials of the search in ``folder``."""
    return read_log(folder)


def read_front(name: str, out: str | None = None) -> "pa.Table":
    """Return the front of the search ``name``: a row a trial, best in the first objective first.

    Columns: ``trial_id``, the path of every searched leaf, ``last/<metric>``, ``best/<metric>``,
    ``epochs`` and more; ``.to_pandas()`` makes a data frame of it.

    Raises:
        RecordsError: There is no such search in ``out``.
    """
    return _read_front(find_search(name, out))


def export(name: str, *, pick: str = "all", to: str | Path, out: str | None = None) -> list[Path]:
    """Write trials of the search ``name`` into ``to``, a folder each, and return the folders.

    Args:
        name: Of the search.
        pick: ``all`` of the front, its ``knee``, ``best:METRIC``, or the id of a trial.
        to: Made when absent.
        out: The folder of all searches.

    Raises:
        RecordsError: No such search, trial or metric, or a target that exists.
    """
    from tunebox.records.export import export_trials, pick_trials

    folder = find_search(name, out)
    return export_trials(folder, pick_trials(read_log(folder), pick), Path(to))


def sync(name: str, *, out: str | None = None, tracking_uri: str | None = None) -> "SyncResult":
    """Deliver what of the search ``name`` still waits for MLflow, and say what became of it.

    Args:
        name: Of a search that does not run.
        out: The folder of all searches.
        tracking_uri: Of MLflow; None for the one that the search was given. User and password
            are not kept: give them again, or in ``MLFLOW_TRACKING_URI``.

    Raises:
        RecordsError: There is no such search in ``out``, nothing was kept for MLflow, or the
            search still runs.
    """
    from tunebox.records.sync import sync_search

    return sync_search(find_search(name, out), tracking_uri)


def load_model(folder: str | Path) -> "Classifier":
    """Return the exported model in ``folder``, in evaluation mode.

    It takes images ``(N, C, H, W)``, floats in [0, 1], and gives logits ``(N, num_classes)``.

    Raises:
        RecordsError: The folder does not hold an exported model.
    """
    from tunebox.records.model_folder import load_model as load

    return load(Path(folder))


def _fixed_config(spec: SearchSpec) -> Any:
    """Return a trial of ``spec``; those parts that cannot be searched are the same in all."""
    return spec.trial_config(spec.space.draw(lambda leaf: leaf.distribution.ends[0]))
