"""When a search ends: budgets, and a front that no longer improves. No Ray, no clock."""

import math

from tunebox.decisions.trials import TrialLog, TrialRecord
from tunebox.pareto.hypervolume import RunningHypervolume
from tunebox.spec.search_settings import HypervolumeStalls, SearchSettings


class Budget:
    """Measures what a search has spent and reached, and says when and why it ends.

    ``epochs`` is spent when all trials together have reported so many. ``time_budget`` is spent
    when that many seconds have passed; those of an earlier run of the same search do not count.
    With ``repeats``, a part of either is set aside (`SearchSettings.share_of_trials`).
    ``hypervolume_stalls`` compares the hypervolume ``h`` of the front of all trials that have
    ended with ``g``, that of the front ``trials`` ends before: it stalls when
    ``h < (1 + tolerance) * g``. It cannot stall before ``trials + 1`` trials have ended, nor while
    the front has no hypervolume. ``expected_gain`` ends the search when the next hundred epochs are
    expected to add less than that share of ``h`` (`TrialLog.expected_gain`). The number of trials
    is limited elsewhere.
    """

    def __init__(self, search: SearchSettings, log: TrialLog) -> None:
        """Start with nothing spent; ``log`` holds the trials that are counted."""
        self._search = search
        self._log = log
        self._epochs = 0
        self._volume = RunningHypervolume(log.objectives.reference_costs)
        self._volumes = [0.0]  # after each end of a trial

    def reported(self) -> None:
        """Count an epoch."""
        self._epochs += 1

    def ended(self, trial: TrialRecord) -> None:
        """Measure the front after the end of a trial."""
        if self._log.has_result(trial):
            self._volume.add(self._log.objectives.costs(trial.last_metrics))
        self._volumes.append(self._volume.value)

    def go_on(self) -> str:
        """Return a remark on how a resume goes on, and on the option without which it would not."""
        search = self._search
        epochs, seconds = search.epochs_of_trials, search.time_budget
        if epochs is not None and self._epochs >= epochs:
            if search.repeats:
                least = math.ceil(self._epochs / search.share_of_trials - 1e-6)
                return f"with --epochs N, N above {least}, of which the repeats get a part"
            return f"with --epochs N, N above the {self._epochs} that are spent"
        if self._gains_too_little() is not None:
            return "with stop_when changed or taken out in its search.yaml"
        if seconds is not None:
            return f"goes on for {seconds:g} s, or --time-budget SECONDS"
        return "goes on"

    def spent(self, seconds: float) -> str | None:
        """Return why the search is to end ``seconds`` after its start, None if it goes on."""
        search = self._search
        epochs, most_seconds = search.epochs_of_trials, search.seconds_of_trials
        rest = ", but for what the repeats get" if search.repeats else ""
        if epochs is not None and self._epochs >= epochs:
            return f"the budget of {search.epochs} epochs is spent{rest}"
        if most_seconds is not None and seconds >= most_seconds:
            return f"the time budget of {search.time_budget:g} s is spent{rest}"
        return self._gains_too_little()

    def _gains_too_little(self) -> str | None:
        rules = self._search.stop_when
        if rules is None:
            return None
        stalls, least = rules.hypervolume_stalls, rules.expected_gain
        reason = None if stalls is None else self._stalls(stalls)
        return reason if reason or least is None else self._promises_less_than(least)

    def _promises_less_than(self, least: float) -> str | None:
        reached, gain = self._volumes[-1], self._log.expected_gain()
        if gain is None or gain >= least * reached:
            return None
        return (
            f"100 epochs more are expected to raise the hypervolume {reached:.4g} by {gain:.2g}, "
            f"less than {least:g} of it"
        )

    def _stalls(self, rule: HypervolumeStalls) -> str | None:
        if len(self._volumes) > rule.trials:
            before = self._volumes[-1 - rule.trials]
            if self._volumes[-1] < (1 + rule.tolerance) * before:
                return (
                    f"the hypervolume stalls: the last {rule.trials} trials raised it by less than "
                    f"{rule.tolerance:g} of {before:.4g}"
                )
        return None
