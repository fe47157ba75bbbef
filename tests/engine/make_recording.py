"""A recording of the small search of `make_search`, made without training."""

from __future__ import annotations

import functools
import math
import random

from tests.engine.make_search import make_spec, metrics_at
from tunebox.decisions.trials import Report, TrialLog, TrialRecord, TrialState
from tunebox.engine.recorded import Recording
from tunebox.spec.sample import sample_values


@functools.lru_cache(maxsize=1)
def made_recording(count: int = 120) -> Recording:
    """Random settings of the small search; every fifth diverges at its second epoch."""
    spec, generator = make_spec(), random.Random(1)
    log = TrialLog(spec.objective_set)
    for number in range(count):
        values = sample_values(spec.space, generator)
        pace = generator.uniform(0.1, 3.0)
        trial = TrialRecord(f"{number}", values, start_time=0.0, state=TrialState.FINISHED)
        diverges = number % 5 == 0
        for epoch in range(1, 3 if diverges else 10):
            metrics = {**metrics_at(values, epoch), "train_seconds": pace * epoch}
            trial.history.append(Report(epoch, metrics, 0.0))
        if diverges:
            trial.state = TrialState.DIVERGED
            trial.history[-1].metrics["train_loss"] = math.nan
        log.trials[trial.trial_id] = trial
    return Recording(spec.space, log)
