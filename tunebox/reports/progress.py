"""The progress of a running search: a live display on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterable
from datetime import timedelta

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tunebox.decisions.events import Ended, Event, Observer, Reported, SearchEnded, SearchStarted
from tunebox.decisions.trials import TrialLog, TrialRecord, TrialState
from tunebox.reports.format import format_metric
from tunebox.reports.methods import branch_path, method_of
from tunebox.spec.search_settings import SearchSettings

_COUNTED = (
    TrialState.RUNNING,
    TrialState.FINISHED,
    TrialState.STOPPED,
    TrialState.DIVERGED,
    TrialState.COLLAPSED,
    TrialState.FAILED,
)
_REDRAW_SECONDS = 0.25
_PLAIN_LINE_SECONDS = 10.0


class SearchProgress(Observer):
    """Counts of trials, epochs spent, the front and its hypervolume, and the time left."""

    def __init__(self, console: Console, name: str, search: SearchSettings, log: TrialLog) -> None:
        self._log = log
        self._console = console
        self._name = name
        self._search = search
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._start = self._drawn = time.monotonic()
        self._epochs = 0
        self._epochs_before = 0
        self._front_size = 0
        self._hypervolume = 0.0
        self._branch: str | None = None
        self._best: dict[str, dict[str, float]] = {}  # by method, then by objective

    def on(self, event: Event) -> None:
        """Count epochs, measure the front, and draw the first and the last state."""
        if isinstance(event, SearchStarted):
            self._begin()
        elif isinstance(event, Reported):
            self._epochs += 1
        elif isinstance(event, Ended):  # only ended trials change the front
            self._measure_front()
            self._note_best([self._log.trials[event.trial_id]])
        elif isinstance(event, SearchEnded):
            self._draw()
            if self._live is not None:
                self._live.stop()

    def _begin(self) -> None:
        self._start = self._drawn = time.monotonic()
        self._epochs = self._epochs_before = self._log.epochs_spent  # of a search that is resumed
        self._num_ended_before = self._log.num_ended
        self._measure_front()
        self._note_best(self._log.trials.values())
        if self._live is not None:
            self._live.start()

    def _measure_front(self) -> None:
        self._front_size = len(self._log.front())
        self._hypervolume = self._log.hypervolume()

    def tick(self) -> None:
        """Draw, unless the last drawing is recent."""
        pause = _PLAIN_LINE_SECONDS if self._live is None else _REDRAW_SECONDS
        if time.monotonic() - self._drawn >= pause:
            self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        if self._live is None:
            self._console.print(f"{self._name}: {self._trials()}; {self._gains()}", soft_wrap=True)
            return
        bar = Table.grid(padding=(0, 2))
        bar.add_row(
            Text(self._name, style="bold"),
            ProgressBar(self._search.trials, self._log.num_ended, width=40),
            f"{self._log.num_ended}/{self._search.trials} trials",
        )
        lines = Group(bar, Text(self._trials()), Text(self._gains()))
        if len(self._best) > 1:  # there are methods to compare
            lines = Group(lines, self._best_table())
        self._live.update(lines, refresh=True)

    def _trials(self) -> str:
        if not self._log.trials:
            return "starting worker processes"
        counts = [
            f"{state.value} {number}"
            for state in _COUNTED
            if (number := self._log.count(state)) or state is not TrialState.COLLAPSED
        ]
        return f"{', '.join(counts)} of {self._search.trials} trials"

    def _note_best(self, trials: Iterable[TrialRecord]) -> None:
        """Remember the best of each method in each objective."""
        if self._branch is None:
            trials = list(trials)
            self._branch = branch_path(trials)
            if self._branch is not None:  # those before were not told apart
                self._best.clear()
                trials = self._log.trials.values()
        for trial in trials:
            if self._log.has_result(trial):
                best = self._best.setdefault(method_of(trial, self._branch), {})
                for objective in self._log.objectives:
                    value = trial.last_metrics[objective.name]
                    pick = max if objective.maximize else min
                    best[objective.name] = pick(best.get(objective.name, value), value)

    def _best_table(self) -> Table:
        """Return the best values of each method, a row each."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("best of")
        for name in self._log.objectives.names:
            table.add_column(name, justify="right")
        for method, best in sorted(self._best.items()):
            table.add_row(method, *(format_metric(name, value) for name, value in best.items()))
        return table

    def _gains(self) -> str:
        if self._log.count(TrialState.RUNNING) and self._epochs == self._epochs_before:
            taken = timedelta(seconds=round(time.monotonic() - self._start))
            return f"loading the data and training the first epoch, for {taken} so far"
        gain = self._log.expected_gain()
        expected = "" if gain is None else f" (+{gain:.2g} expected of 100 epochs more)"
        return (
            f"{self._epochs} epochs, front {self._front_size}, "
            f"hypervolume {self._hypervolume:.4f}{expected}, time left {self._time_left()}"
        )

    def _time_left(self) -> str:
        elapsed = time.monotonic() - self._start
        ended = self._log.num_ended
        ended_now = ended - self._num_ended_before
        estimates = []
        if ended_now > 0:
            estimates.append(elapsed / ended_now * (self._search.trials - ended))
        epochs_now = self._epochs - self._epochs_before
        if self._search.epochs_of_trials is not None and epochs_now > 0:
            left = max(0, self._search.epochs_of_trials - self._epochs)
            estimates.append(elapsed / epochs_now * left)
        if self._search.seconds_of_trials is not None:
            estimates.append(max(0.0, self._search.seconds_of_trials - elapsed))
        return str(timedelta(seconds=round(min(estimates)))) if estimates else "unknown"
