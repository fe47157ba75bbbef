"""What a search may learn from an earlier one: its trials, as far as they are trials of this one.

A trial of another search tells something about this one when it was trained and judged alike. So
its search must have the same objectives, and each of its settings must be what this search's file
fixes, or be within what it searches.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from tunebox.errors import RecordsError
from tunebox.records.files import check_format, write_text
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import read_log
from tunebox.spec.load import load_spec
from tunebox.spec.search_spec import SearchSpec
from tunebox.trials import TrialRecord, TrialState, non_finite_metric

_FORMAT = 1
_TRIALS = TypeAdapter(list[TrialRecord])
_TAKEN = (TrialState.FINISHED, TrialState.STOPPED, TrialState.DIVERGED)


@dataclass(frozen=True)
class WarmStart:
    """What is taken from one earlier search."""

    trials: list[TrialRecord]  # with the settings that they have in the new search
    lines: list[str]  # for a person: how many were taken, and why the others were not


def warm_start(spec: SearchSpec, folder: SearchFolder) -> WarmStart:
    """Return the trials in ``folder`` that the search of ``spec`` can learn from.

    Taken are those that finished, were stopped at a rung, or diverged.

    Raises:
        RecordsError: The tables of the earlier search are missing or damaged.
        SearchFileError: Its ``search.yaml`` is damaged.
    """
    earlier = load_spec(str(folder.search_file))
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
    """Write what a search learned from, so that a resume knows it whatever became of its source."""
    if trials:
        # The sampler learns from finite reports alone, and JSON has no number for others.
        finite = [
            replace(trial, history=[r for r in trial.history if not non_finite_metric(r.metrics)])
            for trial in trials
        ]
        content = {"format": _FORMAT, "trials": _TRIALS.dump_python(finite, mode="json")}
        write_text(path, json.dumps(content, indent=1) + "\n")


def kept_trials(path: Path) -> list[TrialRecord]:
    """Return what `keep_trials` wrote, none if it wrote nothing.

    Raises:
        RecordsError: The file is damaged, or a later version of tunebox wrote it.
    """
    if not path.exists():
        return []
    try:
        content = dict(json.loads(path.read_bytes()))
        check_format(path, content, _FORMAT)
        return _TRIALS.validate_python(content["trials"])
    except RecordsError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RecordsError(
            f"{path} is damaged: put it back as the search wrote it, or start a new search"
        ) from error


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
