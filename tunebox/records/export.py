"""Export trials of a search as model folders."""

import math
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tunebox.decisions.confirmed import Confirmed
from tunebox.decisions.trials import TrialLog, TrialRecord, why_no_front
from tunebox.errors import RecordsError
from tunebox.metrics.catalogue import find_metric
from tunebox.pareto.front import knee_index
from tunebox.pareto.objectives import FloatArray
from tunebox.parts.code import code_files
from tunebox.records.model_folder import check_target, write_model_folder
from tunebox.records.search_folder import SearchFolder
from tunebox.records.standalone import checked_format
from tunebox.records.trial_model import model_of_trial, origin_line
from tunebox.spec.load import load_spec
from tunebox.spec.write import trial_yaml

_BOUND = re.compile(r"(?P<metric>[^<>=]+)(?P<sign>>=|<=)(?P<limit>[-+]?\d*\.?\d+(?:e[-+]?\d+)?)")
_SHOWN = 20  # trial ids in an error message


def pick_trials(log: TrialLog, pick: str, confirmed: Confirmed | None = None) -> list[TrialRecord]:
    """Return the trials that ``pick`` names.

    Args:
        log: Trials of the search.
        pick: ``all`` or ``knee`` of the front, ``best:METRIC`` or ``compromise:METRIC>=VALUE`` on
            the front (or ``<=``), or a trial's id. The direction of an objective decides what is
            best, else that of the metric.
        confirmed: What a confirmation of the search found: ``knee`` is that of its front.

    Raises:
        RecordsError: The front is empty, or the metric or the trial does not exist.
    """
    if pick in log.trials:
        return [log.trials[pick]]
    if pick not in ("all", "knee") and not pick.startswith(("best:", "compromise:")):
        raise RecordsError(f"no trial {pick!r}; {_choices(log)}")
    front = log.front()
    if not front:
        raise RecordsError(f"cannot pick {pick!r}: the front is empty, {why_no_front(log)}")
    if pick == "all":
        return front
    if pick == "knee" and confirmed is not None:
        knees = [trial.trial_id for trial in confirmed.front if trial.is_knee]
        return [log.trials[trial_id] for trial_id in knees if trial_id in log.trials]
    if pick == "knee":
        return [knee(log, front)]
    if pick.startswith("compromise:"):
        return [_compromise(log, front, pick.removeprefix("compromise:"))]
    return [_best(log, front, pick.removeprefix("best:"))]


def knee(log: TrialLog, front: Sequence[TrialRecord]) -> TrialRecord:
    """Return the knee of ``front``, which has a trial at least; see `knee_index`."""
    return front[knee_index(_costs(log, front))]


@dataclass
class Exported:
    """Model folders, one line for each thing that is missing in them, and other lines."""

    folders: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    registered: list[str] = field(default_factory=list)  # addresses of versions in MLflow


def export_trials(
    folder: SearchFolder,
    picks: Sequence[TrialRecord],
    to: Path,
    confirmed: Confirmed | None = None,
    *,
    format: str | None = "torch_export",
) -> Exported:
    """Write a model folder for each trial into ``to``, named by the trial's id.

    A trial that is not on the front has no checkpoint, so its folder has no weights. A checkpoint
    that is missing or damaged leaves the folder without weights too, and is a problem; so is a
    model that cannot be written as a file without tunebox.

    Args:
        folder: Folder of the search.
        picks: The trials.
        to: Where the folders are made.
        confirmed: What a confirmation of the search found.
        format: Format of the file that needs no tunebox, one of `standalone.FORMATS`; None writes
            none.

    Raises:
        RecordsError: A target folder exists, or the format cannot be written here. Nothing is
            written.
        SearchFileError: ``search.yaml`` of the search is missing or damaged.
    """
    kind = None if format is None else checked_format(format)
    for trial in picks:
        check_target(to / trial.trial_id)
    spec = load_spec(str(folder.search_file), code=folder.code)
    exported = Exported()
    for trial in picks:
        again = None if confirmed is None else confirmed.trial(trial.trial_id)
        with tempfile.TemporaryDirectory() as place:
            model = model_of_trial(folder, spec, trial, Path(place), format=kind, confirmed=again)
            write_model_folder(
                to / trial.trial_id,
                trial_yaml=trial_yaml(spec, trial.settings, origin_line(folder, trial), trial.seed),
                weights=model.weights,
                card=model.card,
                description=model.description,
                code=code_files(spec.code, spec.references),
                files=[] if model.standalone is None else [model.standalone.path],
            )
        exported.problems += model.problems
        exported.folders.append(to / trial.trial_id)
    return exported


def _best(log: TrialLog, front: Sequence[TrialRecord], metric: str) -> TrialRecord:
    known = [trial for trial in front if metric in trial.last_metrics]
    if not known:
        raise RecordsError(f"no trial on the front reports {metric!r}; {_choices(log)}")
    more_is_better = _more_is_better(log, metric)
    if more_is_better is None:
        raise RecordsError(f"{metric!r} has no best value; {_choices(log)}")
    sign = 1.0 if more_is_better else -1.0
    return max(known, key=lambda trial: sign * trial.last_metrics[metric])


def _compromise(log: TrialLog, front: Sequence[TrialRecord], bound: str) -> TrialRecord:
    """Return the best trial of the front within a bound on a metric.

    It has the lowest sum of costs of the other objectives, each scaled to its range on the front:
    of two objectives, the best value of the other one.
    """
    parsed = _BOUND.fullmatch(bound.replace(" ", ""))
    if parsed is None:
        raise RecordsError(f"cannot read the bound {bound!r}; write compromise:METRIC>=NUMBER")
    metric, limit = parsed["metric"], float(parsed["limit"])
    sign = 1.0 if parsed["sign"] == ">=" else -1.0
    values = [trial.last_metrics.get(metric, math.nan) for trial in front]
    known = [value for value in values if not math.isnan(value)]
    if not known:
        raise RecordsError(f"no trial on the front reports {metric!r}; {_choices(log)}")
    within = [number for number, value in enumerate(values) if sign * value >= sign * limit]
    if not within:
        raise RecordsError(
            f"no trial on the front keeps {metric}{parsed['sign']}{limit:g}: "
            f"it has {min(known):.5g} to {max(known):.5g}"
        )
    costs = _costs(log, front)[:, [name != metric for name in log.objectives.names]]
    spread = np.ptp(costs, axis=0)
    scaled = costs / np.where(spread > 0, spread, 1.0)
    return front[min(within, key=lambda number: float(scaled[number].sum()))]


def _costs(log: TrialLog, front: Sequence[TrialRecord]) -> FloatArray:
    return np.stack([log.objectives.costs(trial.last_metrics) for trial in front])


def _more_is_better(log: TrialLog, metric: str) -> bool | None:
    """Return whether the highest value is best, None where neither end is."""
    for objective in log.objectives:
        if objective.name == metric:
            return objective.maximize
    known = None if log.objectives.only_known else find_metric(metric)
    return None if known is None or known.direction is None else known.direction == "maximize"


def _choices(log: TrialLog) -> str:
    front = log.front()
    metrics = dict.fromkeys(name for trial in front for name in trial.last_metrics)
    with_best = [name for name in metrics if _more_is_better(log, name) is not None]
    choices = ["all", "knee", *(f"best:{name}" for name in with_best), "compromise:METRIC>=VALUE"]
    ids = [trial.trial_id for trial in front]
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    trials = f"; trials on the front: {', '.join(ids[:_SHOWN])}{more}" if ids else ""
    return f"pick one of {', '.join(choices)}, or a trial's id{trials}"
