"""A search, or the confirmation of one, run with its records."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tunebox.decisions.events import Event, MakeObserver, Observer
from tunebox.records.journal import JournalWriter
from tunebox.records.run_end import RunEnd
from tunebox.records.search_folder import SearchFolder
from tunebox.spec.search_spec import SearchSpec
from tunebox.tracking.stores import public_uri
from tunebox.verbs.executors import autoscaler_observers, make_executor
from tunebox.verbs.results import SearchResult

if TYPE_CHECKING:
    from tunebox.decisions.state import SearchState
    from tunebox.engine.drive import Outcome
    from tunebox.engine.nodes.preparation import NodeReport
    from tunebox.records.confirmed_table import ConfirmedWriter
    from tunebox.reports.report_files import ReportFiles


class Callbacks(Observer):
    """Passes events and lines on to functions of the caller."""

    def __init__(
        self, on_event: Callable[[Event], None] | None, note: Callable[[str], None] | None
    ) -> None:
        self._on_event = on_event
        self._note = note

    def on(self, event: Event) -> None:
        """Pass an event on."""
        if self._on_event is not None:
            self._on_event(event)

    def note(self, line: str) -> None:
        """Pass a line on."""
        if self._note is not None:
            self._note(line)


def run_to_end(
    spec: SearchSpec,
    state: "SearchState",
    report: "NodeReport",
    folder: SearchFolder,
    uri: str,
    callbacks: Callbacks,
    display: MakeObserver | None,
    *,
    last: "ReportFiles | ConfirmedWriter",
    num_trials: int,
) -> SearchResult:
    """Run the trials of a search until it ends, and keep its records; its lock is held.

    The caller writes the end of the run (`write_run_end`) when nothing else is to follow.

    Args:
        spec: Settings of the search.
        state: The search, with the events of its journal applied.
        report: About the nodes.
        folder: Its folder.
        uri: Address of MLflow.
        callbacks: Of the caller.
        display: As in `tunebox.search`.
        last: Writes its files when the search ends.
        num_trials: How many trials will run at most.
    """
    # MLflow is imported here, before a thread delivers to it and before Ray Tune pickles a trial:
    # cloudpickle looks into MLflow's lazy modules, and two threads that import them at the same
    # time stop each other (_DeadlockError of their import locks).
    import mlflow.tracking  # noqa: F401

    from tunebox.engine.drive import drive
    from tunebox.records.table_writer import TableWriter
    from tunebox.tracking.projection import MlflowProjection

    folder.run_end.unlink(missing_ok=True)
    log = state.log
    tables = TableWriter(folder, spec, log)
    mlflow_runs = MlflowProjection(folder, spec, log, uri)
    root = folder.root.absolute()
    # the journal first: other records must have nothing that a resume does not know
    observers: list[Observer] = [JournalWriter(folder.journal, folder.name), callbacks]
    if display is not None:
        observers.append(display(folder.name, spec.search, log))
    observers += [tables, last, mlflow_runs, *autoscaler_observers(spec, num_trials)]
    outcome = drive(
        state,
        make_executor(spec, state, root, report),
        observers,
        max_failed_fraction=spec.search.max_failed_fraction,
        root=root,
    )
    problems = [*tables.warnings, *last.warnings, *mlflow_runs.warnings]
    warnings = [*report.notes, *outcome.notes, *problems]
    end = _run_end(outcome, uri, state.is_complete, warnings)
    return SearchResult(
        name=folder.name, out=spec.search.out, folder=folder, log=outcome.log, **vars(end)
    )


def _run_end(outcome: "Outcome", uri: str, is_complete: bool, warnings: list[str]) -> RunEnd:
    return RunEnd(
        tracking_uri=public_uri(uri),
        interrupted=outcome.interrupted,
        ended=outcome.reason,
        is_complete=is_complete,
        warnings=warnings,
        go_on=outcome.go_on,
        trouble=outcome.trouble,
        traceback=outcome.traceback,
    )
