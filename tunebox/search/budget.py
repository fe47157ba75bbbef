"""When a search has had enough: budgets, and the front that no longer moves. No Ray, no clock."""

from tunebox.pareto.hypervolume import RunningHypervolume
from tunebox.spec.search_spec import SearchSettings
from tunebox.trials import TrialLog, TrialRecord, TrialState


class Budget:
    """Counts what a search spends and gains, and says when it ends and why.

    ``epochs`` is spent when all trials together have reported so many. ``time_budget`` is spent
    when that many seconds have passed; those of an earlier run of the same search do not count.
    ``hypervolume_stalls`` compares the hypervolume ``h`` of the front of all trials that have
    ended with ``g``, that of the front ``trials`` ends before: it stalls when
    ``h < (1 + tolerance) * g``. So it cannot before ``trials + 1`` trials have ended, nor while
    the front has no hypervolume. How many trials start is not its business.
    """

    def __init__(self, search: SearchSettings, log: TrialLog) -> None:
        """Start from what ``log`` has: nothing, or an earlier run of the same search."""
        self._search = search
        self._log = log
        self._epochs = log.epochs_spent
        self._volume = RunningHypervolume(log.objectives.reference_costs)
        self._volumes = [0.0]  # after each end of a trial
        unfinished = (TrialState.RUNNING, TrialState.INTERRUPTED)  # these will end once more
        ended = [
            (trial.end_time, trial)
            for trial in log.trials.values()
            if trial.end_time is not None and trial.state not in unfinished
        ]
        for _, trial in sorted(ended, key=lambda entry: entry[0]):
            self.ended(trial)

    def reported(self) -> None:
        """Count an epoch."""
        self._epochs += 1

    def ended(self, trial: TrialRecord) -> None:
        """Measure the front after the end of a trial."""
        if self._log.has_result(trial):
            self._volume.add(self._log.objectives.costs(trial.last_metrics))
        self._volumes.append(self._volume.value)

    def go_on(self) -> str:
        """Return what a resume needs so as not to end at once: options, and a remark."""
        search = self._search
        if search.epochs is not None and self._epochs >= search.epochs:
            return f" --epochs N    (N above the {self._epochs} that are spent)"
        if self._stalls() is not None:
            return "    (with stop_when changed or taken out in its search.yaml)"
        if search.time_budget is not None:
            return f"    (goes on for {search.time_budget:g} s, or --time-budget SECONDS)"
        return "    (goes on)"

    def spent(self, seconds: float) -> str | None:
        """Return why the search is to end ``seconds`` after its start, None if it goes on."""
        search = self._search
        if search.epochs is not None and self._epochs >= search.epochs:
            return f"the budget of {search.epochs} epochs is spent"
        if search.time_budget is not None and seconds >= search.time_budget:
            return f"the time budget of {search.time_budget:g} s is spent"
        return self._stalls()

    def _stalls(self) -> str | None:
        if self._search.stop_when is None:
            return None
        rule = self._search.stop_when.hypervolume_stalls
        if len(self._volumes) > rule.trials:
            before = self._volumes[-1 - rule.trials]
            if self._volumes[-1] < (1 + rule.tolerance) * before:
                return (
                    f"the hypervolume stalls: the last {rule.trials} trials raised it by less than "
                    f"{rule.tolerance:g} of {before:.4g}"
                )
        return None
