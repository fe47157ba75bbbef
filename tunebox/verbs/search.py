"""``tunebox search``: run a new search, or resume one."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from tunebox.decisions.events import Event, MakeObserver
from tunebox.decisions.trials import TrialRecord
from tunebox.errors import SearchFileError
from tunebox.parts.code import code_files, write_code
from tunebox.records.confirm_plan import read_plan
from tunebox.records.files import remove_unfinished, write_text
from tunebox.records.journal import cut_journal, make_journal, read_journal
from tunebox.records.lock import locked
from tunebox.records.run_end import write_run_end
from tunebox.records.search_folder import SearchFolder, create_folder, open_folder, reserved_name
from tunebox.records.warm_start import keep_trials, warm_start
from tunebox.spec.load import SearchFile, load_spec
from tunebox.spec.search_options import SearchOptions, check_names
from tunebox.spec.search_settings import SearchSettings, default_out
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.slips import likely_slips
from tunebox.spec.write import search_yaml
from tunebox.text import shell_command
from tunebox.tracking.stores import resolve_tracking_uri
from tunebox.tracking.sync import search_tracking_uri
from tunebox.verbs.data_check import write_bad_files
from tunebox.verbs.executors import make_executor, prepared_executor
from tunebox.verbs.own_parts import check_own_parts
from tunebox.verbs.repeats import has_repeats, with_repeats
from tunebox.verbs.results import SearchResult
from tunebox.verbs.resume import check_num_trials, resumed_spec, resumed_state
from tunebox.verbs.running import Callbacks, RunningRecords

if TYPE_CHECKING:
    from tunebox.decisions.state import SearchState
    from tunebox.engine.nodes.preparation import NodeReport


def search(
    file: SearchFile | None = None,
    *,
    resume: bool = False,
    tracking_uri: str | None = None,
    on_event: Callable[[Event], None] | None = None,
    note: Callable[[str], None] | None = None,
    display: MakeObserver | None = None,
    **options: Unpack[SearchOptions],
) -> SearchResult:
    """Run the search in ``file`` and return its result.

    Args:
        file: Path of a search file, name of a shipped one, ``-`` for standard input, a search
            file as a dict, or a `SearchSpec`; None for ``digits``.
        resume: Continue the search ``name`` instead. It must not be running, and ``file`` must be
            None. Finished trials are not run again, others continue from their last checkpoint.
            A larger ``trials`` extends a search that has ended.
        tracking_uri: Address of MLflow; None for ``MLFLOW_TRACKING_URI``, else a database in
            ``out``.
        on_event: Called with every event (`tunebox.decisions.events`), in order, after the state
            of the search has been updated.
        note: Called with messages for the user, such as the resources of the cluster and the
            restart of a trial.
        display: Called with the name, the settings and the trials of the search before it
            begins. It returns an observer, which receives the events.
        options: Settings of ``search`` in a search file (``trials``, ``max_epochs``, ``seed``,
            ``name``, ``out``, ..). They override the file's; None leaves the file's. With
            ``resume``, only those that a resume may change; a time budget counts
            from the resume. ``address="none"`` runs the trials in this process, without Ray.

    Raises:
        TuneboxError: A mistake that the user can correct; no trial has been started.
    """
    check_names(options)
    given = {key: value for key, value in options.items() if value is not None}
    callbacks = Callbacks(on_event, note)
    if resume:
        result, search = _resume(file, tracking_uri, callbacks, display, given)
    else:
        spec = searchable_spec(file, given)
        search = spec.search
        with reserved_name(Path(search.out), search.name, spec.stem) as name:
            named = search.model_copy(update={"name": name})  # the records have the name
            result = _start(replace(spec, search=named), name, tracking_uri, callbacks, display)
    return with_repeats(result, search, tracking_uri, callbacks, display)


def _start(
    spec: SearchSpec,
    name: str,
    tracking_uri: str | None,
    callbacks: Callbacks,
    display: MakeObserver | None,
) -> SearchResult:
    out = Path(spec.search.out)
    uri = resolve_tracking_uri(tracking_uri, out)
    for line in likely_slips(spec):
        callbacks.note(f"warning: {line}")
    check_own_parts(spec)
    known = _known_trials(spec, callbacks)
    from tunebox.decisions.state import SearchState

    with prepared_executor(spec, spec.search.trials, callbacks.note) as (spec, report):
        folder = create_folder(out, name)
        with locked(folder.lock, callbacks.note):
            make_journal(folder.journal, name)
            keep_trials(known, folder.warm_start)
            write_code(code_files(spec.code, spec.references), folder.code)
            spec = replace(spec, code=replace(spec.code, copies=folder.code))
            write_text(folder.search_file, search_yaml(spec))  # from here on it can be resumed
            write_bad_files(report.bad_files, folder.bad_files)
            state = SearchState.of(spec, known)
            return _run(spec, state, report, folder, uri, callbacks, display)


def searchable_spec(file: SearchFile | None, options: Mapping[str, Any]) -> SearchSpec:
    """Return the checked search file ``file``, None for ``digits``, with ``options`` applied.

    Raises:
        SearchFileError: It cannot be run, or has nothing to search.
    """
    spec = load_spec("digits" if file is None else file, options)
    if not spec.space.leaves:
        raise SearchFileError(
            f"{spec.source.name}: nothing to search, no setting is a distribution; "
            "train it with: tunebox train"
        )
    return spec


def _resume(
    file: SearchFile | None,
    tracking_uri: str | None,
    callbacks: Callbacks,
    display: MakeObserver | None,
    given: dict[str, Any],
) -> tuple[SearchResult, SearchSettings]:
    """Run what is left of a search, and return its result and its settings."""
    name, out = given.pop("name", None), Path(given.pop("out", default_out()))
    if file is not None or name is None:
        raise SearchFileError(
            "a resume needs the name of a search and no file, its settings are in its folder; "
            f"got the name {name!r} and the file {file!r}"
        )
    folder = open_folder(out, name)
    plan = read_plan(folder)
    if plan is not None:
        again = shell_command("tunebox", "confirm", plan.search, *folder.out_option)
        raise SearchFileError(f"{name} confirms the search {plan.search}; go on by: {again}")
    with locked(folder.lock, callbacks.note):
        spec = resumed_spec(folder, given)
        journal = read_journal(folder.journal)
        state = resumed_state(folder, spec, journal)
        check_num_trials(spec, len(state.log.planned))
        reason = _reason_for_no_trial(state)
        if reason is not None:
            go_on = shell_command("tunebox", "search", "--resume", name, *folder.out_option)
            callbacks.note(
                f"{name}: {reason}, so no trial is trained; to continue: {go_on}"
                f"    # {state.budget.go_on()}"
            )
        num_trials = 0 if reason else state.num_left
        measured = state.log.memory
        with prepared_executor(spec, num_trials, callbacks.note, measured) as (spec, report):
            cut_journal(folder.journal, journal)
            remove_unfinished(folder.root)
            if num_trials:
                write_bad_files(report.bad_files, folder.bad_files)
            uri = search_tracking_uri(folder, tracking_uri)
            if journal.warning is not None:
                callbacks.note(journal.warning)
                report.notes.append(journal.warning)
            result = _run(spec, state, report, folder, uri, callbacks, display)
    return result, spec.search


def _known_trials(spec: SearchSpec, callbacks: Callbacks) -> list[TrialRecord]:
    """Return the trials of earlier searches that this one learns from, and note their numbers."""
    out = Path(spec.search.out)
    earlier = [warm_start(spec, open_folder(out, name)) for name in spec.search.warm_start]
    for line in (line for one in earlier for line in one.lines):
        callbacks.note(line)
    return [trial for one in earlier for trial in one.trials]


def _reason_for_no_trial(state: "SearchState") -> str | None:
    """Return why no trial will run although some are left."""
    return state.budget.spent(seconds=0.0) if state.num_left else None


def _run(
    spec: SearchSpec,
    state: "SearchState",
    report: "NodeReport",
    folder: SearchFolder,
    uri: str,
    callbacks: Callbacks,
    display: MakeObserver | None,
) -> SearchResult:
    from tunebox.engine.drive import drive
    from tunebox.reports.report_files import ReportFiles

    records = RunningRecords(
        spec,
        state,
        folder,
        uri,
        callbacks,
        display,
        last=ReportFiles(folder, spec, state.log),
        num_trials=0 if _reason_for_no_trial(state) else state.num_left,
    )
    root = folder.root.absolute()
    outcome = drive(
        state,
        make_executor(spec, state, root, report),
        records.observers,
        max_failed_fraction=spec.search.max_failed_fraction,
        root=root,
    )
    result = records.result(outcome, report.notes)
    if not has_repeats(result, spec.search):
        write_run_end(folder.run_end, result)
    return result
