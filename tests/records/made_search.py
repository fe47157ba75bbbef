"""A search made by hand that goes event by event, the same for the same seed: trials side by side,
in every state, shuffled."""

import random
from dataclasses import dataclass

from tests.records.make_log import make_log
from tunebox.decisions.events import Ended, Event, Observer, Planned, Reported, Started
from tunebox.decisions.trials import Report, TrialLog, TrialRecord, TrialState


@dataclass
class ToCome:
    """A trial that has not ended, with what it will report and how and when it will end."""

    trial: TrialRecord
    state: TrialState
    reports: list[Report]
    end_time: float | None


class MadeSearch:
    """Call `step` until it returns False; ``log`` is then that of the ended search."""

    def __init__(self, num_trials: int = 24, seed: int = 0) -> None:
        made = make_log(num_trials, seed)
        self.log = TrialLog(made.objectives)
        self._generator = random.Random(seed)
        self._running: dict[str, ToCome] = {}
        self.waiting = [ToCome(t, t.state, t.history, t.end_time) for t in made.trials.values()]

    def step(self, observer: Observer) -> bool:
        """Let one trial start, report or end; return False when all have ended."""
        if self.waiting and len(self._running) < 4:
            coming = self.waiting.pop(0)
            trial = coming.trial
            self._running[trial.trial_id] = coming
            trial.state, trial.history, trial.end_time = TrialState.RUNNING, [], None
            self.log.planned[trial.trial_id] = trial.settings
            observer.on(Planned(trial.trial_id, trial.settings))
            self.log.trials[trial.trial_id] = trial
            observer.on(Started(trial.trial_id, trial.start_time))
        trial_id = self._generator.choice(sorted(self._running))
        observer.on(self._next_of(self._running[trial_id]))
        observer.tick()
        return bool(self.waiting or self._running)

    def _next_of(self, coming: ToCome) -> Event:
        """Let a trial report or end, and return the event."""
        trial = coming.trial
        if coming.reports:
            trial.history.append(coming.reports.pop(0))
            return Reported(trial.trial_id, trial.history[-1], trial.node)
        unfinished = (TrialState.RUNNING, TrialState.PAUSED)
        trial.state = TrialState.INTERRUPTED if coming.state in unfinished else coming.state
        trial.end_time = coming.end_time or trial.start_time + 50.5
        del self._running[trial.trial_id]
        return Ended(trial.trial_id, trial.state, trial.reason, trial.end_time)

    def run(self, observer: Observer, num_steps: int | None = None) -> bool:
        """Take ``num_steps`` steps, None: all that are left; return whether any are left."""
        count = 0
        while num_steps is None or count < num_steps:
            count += 1
            if not self.step(observer):
                return False
        return True
