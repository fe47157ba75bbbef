"""Values of trials that can be compared: measured at the same epoch."""

from dataclasses import dataclass

from tunebox.decisions.trials import Report, TrialLog, TrialRecord, non_finite_metric

_SHARE = 0.25  # of the trials that must have reached the epoch
_NUM_TRIALS = 30


@dataclass(frozen=True)
class Comparable:
    """The trials that reached an epoch, and what they reported there.

    Attributes:
        epoch: The epoch, 0 if no trial has reported.
        trials: The trials, in the order of the log.
        reports: The report of each.
    """

    epoch: int
    trials: list[TrialRecord]
    reports: list[Report]


def comparable(log: TrialLog) -> Comparable:
    """Return the trials with finite objectives at the latest epoch that enough of them reached.

    Enough is a quarter of those that reported, and thirty. Later epochs are closer to the results,
    but only the survivors of early stopping reach them. If no epoch has enough, it is the first.
    """
    at: dict[int, list[tuple[TrialRecord, Report]]] = {}
    for trial in log.trials.values():
        for report in trial.history:
            objectives = {name: report.metrics.get(name) for name in log.objectives.names}
            known = {name: value for name, value in objectives.items() if value is not None}
            if len(known) == len(objectives) and non_finite_metric(known) is None:
                at.setdefault(report.epoch, []).append((trial, report))
    if not at:
        return Comparable(0, [], [])
    needed = max(_NUM_TRIALS, _SHARE * max(map(len, at.values())))
    epoch = max((epoch for epoch, pairs in at.items() if len(pairs) >= needed), default=min(at))
    return Comparable(epoch, [trial for trial, _ in at[epoch]], [r for _, r in at[epoch]])
