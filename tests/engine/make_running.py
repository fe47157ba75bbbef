"""A search that runs, for the tests that say themselves what becomes of its trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.engine.made_executor import Written
from tests.engine.make_search import make_spec
from tunebox.decisions.decisions import Decisions
from tunebox.decisions.events import Event, Observer
from tunebox.decisions.state import Command, SearchState
from tunebox.decisions.trials import TrialLog
from tunebox.engine.drive import RunningSearch
from tunebox.engine.ending import Ending, FailureLimits
from tunebox.engine.executor import Executor
from tunebox.spec.search_spec import SearchSpec


class IdleExecutor(Executor):
    """Runs nothing."""

    def run(self, search: RunningSearch) -> None:
        pass


class Noting(Written):
    """Keeps the events and the notes, and counts the ticks."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []
        self.num_ticks = 0

    def tick(self) -> None:
        self.num_ticks += 1

    def note(self, line: str) -> None:
        self.notes.append(line)


class EndsKept(Decisions):
    """Decisions that keep what they were told of ended trials."""

    def __init__(self, spec: SearchSpec) -> None:
        super().__init__(spec.space, spec.objective_set, spec.search)
        self.ended: list[tuple[str, bool]] = []

    def end(self, trial_id: str, failed: bool) -> None:
        self.ended.append((trial_id, failed))
        super().end(trial_id, failed)


@dataclass
class Made:
    """A search that has begun, and all that it is made of."""

    search: RunningSearch
    state: SearchState
    decisions: EndsKept
    ending: Ending
    noting: Noting

    @property
    def log(self) -> TrialLog:
        return self.state.log

    @property
    def events(self) -> list[Event]:
        return self.noting.events

    def start(self) -> str:
        """Start the next trial and return its id."""
        start = self.search.next_trial()
        assert start is not None
        self.search.started(start.trial_id)
        return start.trial_id

    def report(self, trial_id: str, epoch: int, clean: float = 0.5, **more: float) -> Command:
        metrics = {"clean_accuracy": clean, "noisy_accuracy": 0.5, **more}
        return self.search.reported(trial_id, epoch, metrics, "node")


def make_running(
    spec: SearchSpec | None = None,
    root: Path | None = None,
    observers: Sequence[Observer] = (),
    events: Sequence[Event] = (),
) -> Made:
    """Begin a search with ``observers`` before one that keeps the events.

    Args:
        spec: What is searched; None for the small search.
        root: Folder of the search; None where there are no files.
        observers: The first of them is the journal.
        events: What the journal has of an earlier process.
    """
    spec = spec or make_spec()
    decisions, noting = EndsKept(spec), Noting()
    log = TrialLog(spec.objective_set, spec.constraint_set)
    state = SearchState(log, decisions, spec.search, spec.space)
    state.replay_events(events)
    ending = Ending(state.budget, lambda: 0.0)
    limits = FailureLimits(spec.search.max_failed_fraction)
    search = RunningSearch(state, IdleExecutor(), [*observers, noting], ending, limits, root)
    search.begin()
    return Made(search, state, decisions, ending, noting)
