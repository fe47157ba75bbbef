"""Warm start: trials of earlier searches that are also trials of this one.

A trial of another search is informative if it was trained and evaluated in the same way. Its
search must have the same objectives and epochs, and each of its settings must equal the value
that this search fixes, or lie in the distribution that it searches.
"""

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from tunebox.decisions.trials import TrialRecord, TrialState, non_finite_metric
from tunebox.errors import reading
from tunebox.records.files import read_json, write_json
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import read_log
from tunebox.spec.load import load_spec
from tunebox.spec.search_settings import check_name
from tunebox.spec.search_spec import SearchSpec

_FORMAT = 2  # 1 had no checksum
_TRIALS = TypeAdapter(list[TrialRecord])
_TAKEN = (
    TrialState.FINISHED,
    TrialState.STOPPED,
    TrialState.DIVERGED,
    TrialState.COLLAPSED,
)


@dataclass(frozen=True)
class WarmStart:
    """The trials that are used of one earlier search."""

    trials: list[TrialRecord]  # with their settings in the new search
    lines: list[str]  # how many are used, and why the others are not


def warm_start(spec: SearchSpec, folder: SearchFolder) -> WarmStart:
    """Return the trials in ``folder`` that the search of ``spec`` can learn from.

    These are trials that finished, were stopped at a rung, diverged, or collapsed.

    Raises:
        RecordsError: The tables of the earlier search are missing or damaged.
        SearchFileError: Its ``search.yaml`` is damaged.
    """
    earlier = load_spec(str(folder.search_file), code=folder.code)
    log = read_log(folder)
    taken: list[TrialRecord] = []
    left: Counter[str] = Counter()
    for trial in log.trials.values():
        try:
            taken.append(_as_trial_of(spec, trial, earlier))
        except ValueError as error:
            # one line for all values of a setting that are out of its range
            left[re.sub(r"got [^ ]*, outside", "outside", str(error))] += 1
    lines = [f"warm start from {folder.name}: took {len(taken)} of {len(log.trials)} trials"]
    lines += [f"  left {count}: {reason}" for reason, count in left.most_common()]
    return WarmStart(taken, lines)


def keep_trials(trials: list[TrialRecord], path: Path) -> None:
    """Write the trials of a warm start, so that a resume does not depend on their search."""
    if trials:
        # The sampler uses finite reports only, and JSON has no number for others.
        finite = [
            replace(trial, history=[r for r in trial.history if not non_finite_metric(r.metrics)])
            for trial in trials
        ]
        content = {"format": _FORMAT, "trials": _TRIALS.dump_python(finite, mode="json")}
        write_json(path, content)


def kept_trials(path: Path) -> list[TrialRecord]:
    """Return the trials that `keep_trials` wrote, an empty list if there is no file.

    Raises:
        RecordsError: The file is damaged, or a later version of tunebox wrote it.
    """
    if not path.exists():
        return []
    advice = "put it back as the search wrote it, or start a new search"
    with reading(path, problem="is damaged", advice=advice):
        trials = _TRIALS.validate_python(read_json(path, _FORMAT)["trials"])
        for trial in trials:
            check_name(trial.trial_id)
        return trials


def _as_trial_of(spec: SearchSpec, trial: TrialRecord, earlier: SearchSpec) -> TrialRecord:
    if _directions(spec) != _directions(earlier):
        raise ValueError(f"its objectives are {', '.join(_directions(earlier))}")
    if earlier.search.max_epochs != spec.search.max_epochs:  # the schedule's length too
        raise ValueError(f"its max_epochs is {earlier.search.max_epochs}")
    if trial.state not in _TAKEN:
        raise ValueError(f"ended as {trial.state.value}")
    return replace(trial, settings=spec.space.values_of(earlier.space.fix(trial.settings)))


def _directions(spec: SearchSpec) -> list[str]:
    return [f"{name} ({objective.direction})" for name, objective in spec.objectives.items()]
