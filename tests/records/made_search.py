"""A search made by hand that goes event by event, the same for the same seed: trials side by side,
in every state, shuffled."""

import random
from dataclasses import dataclass

from tests.records.make_log import make_log
from tunebox.trials import Report, SearchObserver, TrialLog, TrialRecord, TrialState


@dataclass
class ToCome:
    """A trial that has not ended, with what it will report and how it will end."""

    trial: TrialRecord
    state: TrialState
    reports: list[Report]


class MadeSearch:
    """Call `step` until it returns False; ``log`` is then that of the ended search."""

    def __init__(self, num_trials: int = 24, seed: int = 0) -> None:
        made = make_log(num_trials, seed)
        self.log = TrialLog(made.objectives)
        self._generator = random.Random(seed)
        self._running: dict[str, ToCome] = {}
        self.waiting = [ToCome(t, t.state, t.history) for t in made.trials.values()]

    def step(self, observer: SearchObserver) -> bool:
        """Let one trial start, report or end; return False when all have ended."""
        if self.waiting and len(self._running) < 4:
            coming = self.waiting.pop(0)
            trial = coming.trial
            trial.state, trial.history = TrialState.RUNNING, []
            self._running[trial.trial_id] = coming
            self.log.trials[trial.trial_id] = trial
            observer.trial_started(trial)
        trial_id = self._generator.choice(sorted(self._running))
        coming = self._running[trial_id]
        trial = coming.trial
        if coming.reports:
            trial.history.append(coming.reports.pop(0))
            observer.trial_reported(trial, trial.history[-1])
        else:
            is_cut = coming.state is TrialState.RUNNING
            trial.state = TrialState.INTERRUPTED if is_cut else coming.state
            del self._running[trial_id]
            observer.trial_ended(trial)
        observer.tick()
        return bool(self.waiting or self._running)

    def run(self, observer: SearchObserver, num_steps: int | None = None) -> bool:
        """Take ``num_steps`` steps, None: all that are left; return whether any are left."""
        count = 0
        while num_steps is None or count < num_steps:
            count += 1
            if not self.step(observer):
                return False
        return True
