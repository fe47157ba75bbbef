"""The records of a search, or of the confirmation of one, while it runs."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tunebox.decisions.events import Event, MakeObserver, Observer
from tunebox.records.journal import JournalWriter
from tunebox.records.search_folder import SearchFolder
from tunebox.spec.search_spec import SearchSpec
from tunebox.tracking.stores import public_uri
from tunebox.verbs.executors import autoscaler_observers
from tunebox.verbs.results import SearchResult

if TYPE_CHECKING:
    from tunebox.decisions.state import SearchState
    from tunebox.engine.drive import Outcome
    from tunebox.records.record_writer import RecordWriter


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


class RunningRecords:
    """The records of a search while it runs, and its result when it has ended.

    Attributes:
        observers: What gets every event, in this order. The journal is the first: other records
            must have nothing that a resume does not know.
    """

    def __init__(
        self,
        spec: SearchSpec,
        state: "SearchState",
        folder: SearchFolder,
        uri: str,
        callbacks: Callbacks,
        display: MakeObserver | None,
        *,
        last: "RecordWriter",
        num_trials: int,
    ) -> None:
        """Open the records; the lock of the folder is held, and the end of an earlier run goes.

        Args:
            spec: Settings of the search.
            state: The search, with the events of its journal applied.
            folder: Its folder.
            uri: Address of MLflow.
            callbacks: Of the caller.
            display: As in `tunebox.search`.
            last: Writes its files when the search ends.
            num_trials: How many trials will run at most.
        """
        # MLflow is imported here, before a thread delivers to it and before Ray Tune pickles a
        # trial: cloudpickle looks into MLflow's lazy modules, and two threads that import them at
        # the same time stop each other (_DeadlockError of their import locks).
        import mlflow.tracking  # noqa: F401

        from tunebox.records.table_writer import TableWriter
        from tunebox.tracking.projection import MlflowProjection

        folder.run_end.unlink(missing_ok=True)
        self._spec = spec
        self._state = state
        self._folder = folder
        self._uri = uri
        tables = TableWriter(folder, spec, state.log)
        mlflow_runs = MlflowProjection(folder, spec, state.log, uri)
        self._writers = (tables, last, mlflow_runs)
        displays = [] if display is None else [display(folder.name, spec.search, state.log)]
        self.observers: list[Observer] = [
            JournalWriter(folder.journal, folder.name),
            callbacks,
            *displays,
            *self._writers,
            *autoscaler_observers(spec, num_trials),
        ]

    def result(self, outcome: "Outcome", notes: list[str]) -> SearchResult:
        """Return the result; the caller writes its end unless more is to follow.

        Args:
            outcome: How the search ended.
            notes: Lines about the nodes, which the result has among its warnings.
        """
        problems = [line for writer in self._writers for line in writer.warnings]
        return SearchResult(
            name=self._folder.name,
            out=self._spec.search.out,
            folder=self._folder,
            log=outcome.log,
            tracking_uri=public_uri(self._uri),
            interrupted=outcome.interrupted,
            ended=outcome.reason,
            is_complete=self._state.is_complete,
            warnings=[*notes, *outcome.notes, *problems],
            go_on=outcome.go_on,
            trouble=outcome.trouble,
            traceback=outcome.traceback,
        )
