"""What the verbs do, for Python: search, replay, train, evaluate, export and read the front."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tunebox.errors import ClusterError, SearchFileError
from tunebox.evaluate import evaluate
from tunebox.records.files import remove_unfinished, write_text
from tunebox.records.journal import JournalWriter, cut_journal, make_journal, read_journal
from tunebox.records.lock import locked
from tunebox.records.run_end import RunEnd, read_run_end, write_run_end
from tunebox.records.search_folder import (
    SearchFolder,
    check_free,
    create_folder,
    next_free_name,
    open_folder,
)
from tunebox.records.sync import search_tracking_uri
from tunebox.records.tracking import (
    front_filter,
    public_uri,
    resolve_tracking_uri,
)
from tunebox.records.trial_tables import read_front as _read_front
from tunebox.records.trial_tables import read_log
from tunebox.records.warm_start import keep_trials, kept_trials, warm_start
from tunebox.replay import parse_settings, replay
from tunebox.resume import check_num_trials, resumed_spec
from tunebox.spec.load import load_spec
from tunebox.spec.search_spec import SearchSpec, default_out
from tunebox.spec.write import search_yaml
from tunebox.train import train
from tunebox.trials import SearchObserver, TrialLog, TrialRecord

if TYPE_CHECKING:
    import pyarrow as pa

    from tunebox.models.base import Classifier
    from tunebox.records.export import Exported
    from tunebox.records.sync import SyncResult
    from tunebox.search.past import Past
    from tunebox.search.readiness import Readiness

__all__ = [
    "evaluate",
    "export",
    "load_model",
    "parse_settings",
    "read_front",
    "replay",
    "search",
    "sync",
    "train",
]


@dataclass(frozen=True, kw_only=True)
class SearchResult(RunEnd):
    """What a search leaves behind."""

    name: str
    out: str
    folder: SearchFolder
    log: TrialLog
    front_filter: str = front_filter


def search(
    file: str | None = None,
    *,
    resume: bool = False,
    tracking_uri: str | None = None,
    console: Console | None = None,
    **options: Any,
) -> SearchResult:
    """Search ``file`` on the Ray cluster at hand and return what was found.

    Args:
        file: A search file, the name of a shipped one, or ``-`` for standard input; None for
            ``digits``.
        resume: Go on with the search ``name``, whose process is gone, instead: finished trials
            are not run again, others go on from their last checkpoint. More ``trials`` extend a
            search that has ended. ``file`` stays None.
        tracking_uri: Of MLflow; None for ``MLFLOW_TRACKING_URI``, else a database in ``out``.
        console: Where to show progress; None shows nothing.
        options: Any setting of ``search`` in a search file (``trials``, ``max_epochs``,
            ``time_budget``, ``seed``, ``name``, ``out``, ..); they win over the file's. With
            ``resume`` those in `tunebox.resume.RESUMABLE`; a time budget counts from the resume.

    Raises:
        TuneboxError: Something that a person can put right; no trial has been started.
    """
    if resume:
        return _resume(file, tracking_uri, console, options)
    spec = searchable_spec(file, options)
    out = Path(spec.search.out)
    name = spec.search.name or next_free_name(out, spec.stem)
    check_free(out, name)
    named = spec.search.model_copy(update={"name": name})
    spec = replace(spec, search=named)  # so that the records have the name
    uri = resolve_tracking_uri(tracking_uri, out)
    known = _known(spec, console)
    from tunebox.search.past import take_up

    with _cluster(spec, console, num_trials=spec.search.trials) as (spec, ready):
        folder = create_folder(out, name)
        with locked(folder.lock, _teller(console)):
            make_journal(folder.journal, name)
            keep_trials(known, folder.warm_start)
            write_text(folder.search_file, search_yaml(spec))  # from here on it can be resumed
            past = take_up(spec, known=known)
            return _search(spec, past, ready, folder, uri, console)


def searchable_spec(file: str | None, options: Mapping[str, Any]) -> SearchSpec:
    """Return the checked search file ``file``, None for ``digits``, with ``options`` in place.

    Raises:
        SearchFileError: It cannot be run, or has nothing to search.
    """
    spec = load_spec(file or "digits", options)
    if not spec.space.leaves:
        raise SearchFileError(
            f"{spec.source.name}: nothing to search, no setting is a distribution; "
            "train it with: tunebox train"
        )
    return spec


def _resume(
    file: str | None, tracking_uri: str | None, console: Console | None, options: dict[str, Any]
) -> SearchResult:
    given = {key: value for key, value in options.items() if value is not None}
    name, out = given.pop("name", None), Path(given.pop("out", default_out()))
    if file is not None or name is None:
        raise SearchFileError(
            "a resume needs the name of a search and no file, its settings are in its folder; "
            f"got the name {name!r} and the file {file!r}"
        )
    folder = open_folder(out, name)
    with locked(folder.lock, _teller(console)):
        spec = resumed_spec(folder, given)
        journal = read_journal(folder.journal)
        from tunebox.search.past import take_up
        from tunebox.search.run import num_to_run, why_none

        past = take_up(spec, journal.events, kept_trials(folder.warm_start))
        check_num_trials(spec, past.num_planned)
        idle = why_none(spec, past)
        if idle is not None:
            _teller(console)(f"{name}: {idle}")
        with _cluster(spec, console, num_trials=num_to_run(spec, past)) as (spec, ready):
            cut_journal(folder.journal, journal)
            remove_unfinished(folder.root)
            uri = search_tracking_uri(folder, tracking_uri)
            if journal.warning is not None:
                _teller(console)(journal.warning)
                ready.notes.append(journal.warning)
            return _search(spec, past, ready, folder, uri, console)


@contextmanager
def _cluster(
    spec: SearchSpec, console: Console | None, num_trials: int
) -> Iterator[tuple[SearchSpec, "Readiness"]]:
    """Join or start Ray when there are trials to run, and have the nodes ready for them.

    Gives the search with what a trial takes in numbers.
    """
    from tunebox.search.readiness import Readiness, make_ready

    if not num_trials:
        yield spec, Readiness()
        return
    from tunebox.data.check import check_data
    from tunebox.search.cluster import connect, is_to_start
    from tunebox.search.room import asked_by_a_trial, check_room, measured_gpus

    data = _fixed_config(spec).data
    if is_to_start(spec.search.address):
        check_data(data)  # before Ray starts, which takes seconds
    else:
        _check_command_line()
    with connect(spec.search.address) as cluster:
        asked = asked_by_a_trial(spec.search)
        waits = check_room(spec.search, asked)
        ready = make_ready(asked, Path(spec.search.out), data)
        ready.notes.extend([waits] if waits else [])
        for line in (f"{spec.search.name}: {cluster}", *ready.notes):
            _teller(console)(line)
        if spec.search.gpus_per_trial == "auto":
            _teller(console)("--gpus-per-trial auto: measuring, once a GPU is free")
            asked["GPU"], line = measured_gpus(spec, asked, ready.left_out)
            _teller(console)(line)
            ready.notes.append(line)  # who watches from elsewhere sees no more than the notes
        settled = {"cpus_per_trial": asked["CPU"], "gpus_per_trial": asked["GPU"]}
        yield replace(spec, search=spec.search.model_copy(update=settled)), ready


def _check_command_line() -> None:
    """Raise ClusterError if this program was given a password that Ray would show to others."""
    uris = [uri for word in sys.argv for uri in re.findall(r"[\w+]+://\S+", word)]
    if any(public_uri(uri) != uri for uri in uris):
        raise ClusterError(
            "the Ray cluster would show the command line of this search, which has a password in "
            "it; put the address into MLFLOW_TRACKING_URI instead of --tracking-uri"
        )


def _known(spec: SearchSpec, console: Console | None) -> list[TrialRecord]:
    """Return the trials of earlier searches that this one learns from, and say which."""
    out = Path(spec.search.out)
    earlier = [warm_start(spec, open_folder(out, name)) for name in spec.search.warm_start]
    tell = _teller(console)
    for line in (line for one in earlier for line in one.lines):
        tell(line)
    return [trial for one in earlier for trial in one.trials]


def _search(
    spec: SearchSpec,
    past: "Past",
    ready: "Readiness",
    folder: SearchFolder,
    uri: str,
    console: Console | None,
) -> SearchResult:
    from tunebox.progress import SearchProgress
    from tunebox.records.mlflow_runs import MlflowRuns
    from tunebox.records.recorder import SearchRecorder
    from tunebox.search.autoscaler import demand
    from tunebox.search.room import asked_by_a_trial
    from tunebox.search.run import is_complete, num_to_run, run_search

    folder.run_end.unlink(missing_ok=True)
    runs = MlflowRuns(uri, folder.root.parent, folder.mlflow_ids, folder.outbox)
    recorder = SearchRecorder(folder, spec, runs)
    # the journal first: nothing is recorded that a resume would not know of
    observers: list[SearchObserver] = [JournalWriter(folder.journal, folder.name)]
    if console is not None:
        observers.append(SearchProgress(console, folder.name, spec.search))
    observers.append(recorder)
    left = num_to_run(spec, past)
    if left:
        asked = asked_by_a_trial(spec.search)
        observers += demand(asked, left, spec.search.max_concurrent)
    outcome = run_search(spec, past, folder.root.absolute(), observers, ready.left_out)
    end = RunEnd(
        tracking_uri=public_uri(uri),
        interrupted=outcome.interrupted,
        ended=outcome.reason,
        is_complete=is_complete(spec, outcome.log),
        warnings=[*ready.notes, *outcome.notes, *recorder.warnings],
        go_on=outcome.go_on,
        trouble=outcome.trouble,
        traceback=outcome.traceback,
    )
    write_run_end(folder.run_end, end)
    return SearchResult(
        name=folder.name, out=spec.search.out, folder=folder, log=outcome.log, **vars(end)
    )


def find_search(name: str, out: str | None = None) -> SearchFolder:
    """Return the folder of the search ``name``.

    Raises:
        RecordsError: There is no such search in ``out``.
    """
    return open_folder(Path(out or default_out()), name)


def read_search(folder: SearchFolder) -> TrialLog:
    """Return all trials of the search in ``folder``."""
    return read_log(folder)


def read_result(folder: SearchFolder) -> SearchResult | None:
    """Return what the last run of the search in ``folder`` left; None if it was killed."""
    end = read_run_end(folder.run_end)
    if end is None:
        return None
    out, log = str(folder.root.parent), read_log(folder)
    return SearchResult(name=folder.name, out=out, folder=folder, log=log, **vars(end))


def read_front(name: str, out: str | None = None) -> "pa.Table":
    """Return the front of the search ``name``: a row a trial, best in the first objective first.

    Columns: ``trial_id``, the path of every searched leaf, ``last/<metric>``, ``best/<metric>``,
    ``epochs`` and more; ``.to_pandas()`` makes a data frame of it.

    Raises:
        RecordsError: There is no such search in ``out``.
    """
    return _read_front(find_search(name, out))


def export(name: str, *, pick: str = "all", to: str | Path, out: str | None = None) -> "Exported":
    """Write trials of the search ``name`` into ``to``, a folder each, and say what lacks weights.

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


def _teller(console: Console | None) -> Callable[[str], None]:
    """Return what prints a line for the person at the console, if there is one."""

    def tell(line: str) -> None:
        if console is not None:
            console.print(line, soft_wrap=True, highlight=False)

    return tell


def _fixed_config(spec: SearchSpec) -> Any:
    """Return a trial of ``spec``; those parts that cannot be searched are the same in all."""
    return spec.trial_config(spec.space.draw(lambda leaf: leaf.distribution.ends[0]))
