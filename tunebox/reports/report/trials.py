"""What the page shows of a trial when it is clicked."""

import math
from typing import Any

from tunebox.decisions.confirmed import ConfirmedTrial
from tunebox.decisions.trials import TrialRecord
from tunebox.reports.format import format_estimate
from tunebox.reports.report import learning
from tunebox.reports.report.study import Study, count, rounded, words
from tunebox.text import shell_command

_MAX_CURVES = 1000  # of trials that are not on the front: a page stays below 3 MB


def details(study: Study) -> dict[str, Any]:
    """Return what the page shows of each trial, by its key."""
    all_of_them = list(study.log.trials.values())
    with_curve = {trial.trial_id for trial in study.sample(all_of_them, _MAX_CURVES)}
    out = [] if study.out is None else ["--out", str(study.out)]
    trials = {}
    for trial in all_of_them:
        is_on_front = trial.trial_id in study.front_ids
        objectives = study.log.objectives.names
        names = list(trial.last_metrics) if is_on_front else objectives
        entry: dict[str, Any] = {
            "state": trial.state.value,
            "reason": trial.reason,
            "epochs": trial.epochs,
            "picks": study.picks.get(trial.trial_id, []),
            "card": card(study, trial) if is_on_front else "",
            "metrics": {
                name: rounded(trial.last_metrics[name])
                for name in names
                if name in trial.last_metrics
            },
            "settings": {
                path: rounded(value) if isinstance(value, float) else value
                for path, value in trial.settings.items()
            },
            "command": shell_command(
                *("tunebox", "export", study.name, "--pick", trial.trial_id),
                *("--to", "exported", *out),
            ),
        }
        if trial.trial_id in with_curve:
            reports = learning.thinned(trial.history)
            entry["epoch"] = [report.epoch for report in reports]
            entry["curves"] = {
                name: [rounded(r.metrics[name]) if name in r.metrics else None for r in reports]
                for name in objectives
            }
        trials[study.key(trial)] = entry
    return trials


def card(study: Study, trial: TrialRecord) -> str:
    """Return what a user must know of a trial of the front: how far its numbers can be trusted."""
    found = None if study.confirmed is None else study.confirmed.trial(trial.trial_id)
    lines = []
    if found is not None:
        lines += _confirmed(found)
    elif study.log.objectives.only_known:
        lines.append("Its metrics are of one training, as the loop reported them.")
    else:
        lines.append(
            "Its metrics are of one training, on the validation set, by which it was selected: "
            "they tend to be too good. tunebox confirm measures it with new seeds."
        )
    equal = study.log.equals(trial.trial_id)
    if equal:
        lines.append(f"It is equal in all objectives to {', '.join(equal)}.")
    lines.append("The command writes its weights with a model card.")
    return " ".join(lines)


def _confirmed(found: ConfirmedTrial) -> list[str]:
    means = [f"{format_estimate(name, mean)} {words(name)}" for name, mean in found.means.items()]
    lines = [f"{count(found.num_seeds, 'new seed')} gave {' and '.join(means)}."]
    tests = [f"{format_estimate(n, mean)} {words(n)}" for n, mean in found.test_means.items()]
    if tests:
        lines.append(f"On the test set: {' and '.join(tests)}.")
    if math.isfinite(found.front_share):
        lines.append(f"It is on the true front with probability {100 * found.front_share:.0f} %.")
    if found.alike:
        lines.append(f"It cannot be told apart from {' and '.join(found.alike)}.")
    return lines
