"""What a search looks like while it runs: a live display on a terminal, plain lines elsewhere."""

import time
from datetime import timedelta

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tunebox.spec.search_spec import SearchSettings
from tunebox.trials import Report, SearchObserver, TrialLog, TrialRecord, TrialState

_REDRAW_SECONDS = 0.25
_PLAIN_LINE_SECONDS = 10.0


class SearchProgress(SearchObserver):
    """Counts of trials, epochs spent, the front and its hypervolume, and the time left."""

    def __init__(self, console: Console, name: str, search: SearchSettings) -> None:
        self._console = console
        self._name = name
        self._search = search
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._start = self._drawn = time.monotonic()
        self._epochs = 0
        self._epochs_before = 0
        self._front_size = 0
        self._hypervolume = 0.0

    def search_started(self, log: TrialLog) -> None:
        """Start the clock."""
        self._log = log
        self._start = self._drawn = time.monotonic()
        self._epochs = log.epochs_spent  # of a search that is resumed
        self._epochs_before = log.epochs_spent
        self._num_ended_before = log.num_ended
        self._measure_front()
        if self._live is not None:
            self._live.start()

    def trial_reported(self, trial: TrialRecord, report: Report) -> None:
        """Count an epoch."""
        self._epochs += 1

    def trial_ended(self, trial: TrialRecord) -> None:
        """Measure the front, which only ended trials change."""
        self._measure_front()

    def noted(self, line: str) -> None:
        """Print the line, on a terminal above the display."""
        self._console.print(line, soft_wrap=True, highlight=False)

    def _measure_front(self) -> None:
        self._front_size = len(self._log.front())
        self._hypervolume = self._log.hypervolume()

    def tick(self) -> None:
        """Draw, unless that was done a moment ago."""
        pause = _PLAIN_LINE_SECONDS if self._live is None else _REDRAW_SECONDS
        if time.monotonic() - self._drawn >= pause:
            self._draw()

    def search_ended(self, interrupted: bool, trouble: str | None = None) -> None:
        """Draw the last state and leave it on the screen."""
        self._draw()
        if self._live is not None:
            self._live.stop()

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
        self._live.update(Group(bar, Text(self._trials()), Text(self._gains())), refresh=True)

    def _trials(self) -> str:
        if not self._log.trials:
            return "starting worker processes"
        count = self._log.count
        lost = count(TrialState.FAILED) + count(TrialState.DIVERGED)
        return (
            f"running {count(TrialState.RUNNING)}, finished {count(TrialState.FINISHED)}, "
            f"stopped {count(TrialState.STOPPED)}, failed {lost} of {self._search.trials} trials"
        )

    def _gains(self) -> str:
        return (
            f"{self._epochs} epochs, front {self._front_size}, "
            f"hypervolume {self._hypervolume:.4f}, time left {self._time_left()}"
        )

    def _time_left(self) -> str:
        elapsed = time.monotonic() - self._start
        ended = self._log.num_ended
        ended_now = ended - self._num_ended_before
        estimates = []
        if ended_now > 0:
            estimates.append(elapsed / ended_now * (self._search.trials - ended))
        epochs_now = self._epochs - self._epochs_before
        if self._search.epochs is not None and epochs_now > 0:
            left = max(0, self._search.epochs - self._epochs)
            estimates.append(elapsed / epochs_now * left)
        if self._search.time_budget is not None:
            estimates.append(max(0.0, self._search.time_budget - elapsed))
        return str(timedelta(seconds=round(min(estimates)))) if estimates else "unknown"
