"""Trials of a search as models that can be used: which, and where to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tunebox.checkpoints import read_torch_file
from tunebox.errors import RecordsError
from tunebox.pareto.front import knee_index
from tunebox.records.model_card import model_card
from tunebox.records.model_folder import check_target, write_model_folder
from tunebox.records.search_folder import SearchFolder
from tunebox.spec.load import load_spec
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.write import trial_yaml
from tunebox.trials import TrialLog, TrialRecord, why_no_front

_LESS_IS_BETTER = ("train_seconds", "parameters")
_SHOWN = 20  # trial ids in an error message


def pick_trials(log: TrialLog, pick: str) -> list[TrialRecord]:
    """Return the trials that ``pick`` names.

    Args:
        log: Of the search.
        pick: ``all`` or ``knee`` of the front, ``best:METRIC`` on the front, or a trial's id. The
            best is the highest; for an objective it is what the objective says, for losses,
            ``train_seconds`` and ``parameters`` the lowest.

    Raises:
        RecordsError: The front is empty, or there is no such metric or trial.
    """
    if pick in log.trials:
        return [log.trials[pick]]
    if pick not in ("all", "knee") and not pick.startswith("best:"):
        raise RecordsError(f"no trial {pick!r}; {_choices(log)}")
    front = log.front()
    if not front:
        raise RecordsError(f"cannot pick {pick!r}: the front is empty, {why_no_front(log)}")
    if pick == "all":
        return front
    if pick == "knee":
        costs = np.stack([log.objectives.costs(trial.last_metrics) for trial in front])
        return [front[knee_index(costs)]]
    return [_best(log, front, pick.removeprefix("best:"))]


@dataclass
class Exported:
    """Model folders, and a line for each of them that lacks the weights it should have."""

    folders: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def export_trials(folder: SearchFolder, picks: Sequence[TrialRecord], to: Path) -> Exported:
    """Write a model folder for each trial into ``to``, named by its id.

    The folder of a trial whose weights were not kept, since it is not on the front, has none; nor
    has that of a trial whose checkpoint is gone or damaged, which is a problem to be told.

    Raises:
        RecordsError: A target exists; nothing is written then.
        SearchFileError: ``search.yaml`` of the search is missing or damaged.
    """
    for trial in picks:
        check_target(to / trial.trial_id)
    spec = load_spec(str(folder.search_file))
    exported = Exported()
    for trial in picks:
        weights = None
        try:
            weights = _read_weights(folder, trial)
        except RecordsError as error:
            problem = f"trial {trial.trial_id} is exported without its weights: {error}"
            exported.problems.append(problem)
        _export(spec, folder.name, trial, to / trial.trial_id, weights)
        exported.folders.append(to / trial.trial_id)
    return exported


def _export(
    spec: SearchSpec, search: str, trial: TrialRecord, target: Path, weights: dict[str, Any] | None
) -> None:
    origin = f"Trial {trial.trial_id} of the search {search}"
    card = model_card(
        spec.trial_config(trial.settings),
        title=origin,
        origin=f"{origin}; it ended as {trial.state.value}.",
        settings=trial.settings,
        epochs=trial.epochs,
        metrics=trial.last_metrics,
        weights=weights,
    )
    text = trial_yaml(spec, trial.settings, origin)
    write_model_folder(target, trial_yaml=text, weights=weights, card=card)


def _read_weights(folder: SearchFolder, trial: TrialRecord) -> dict[str, Any] | None:
    if trial.checkpoint is None:
        return None
    path = folder.root / trial.checkpoint
    if not path.resolve().is_relative_to(folder.root.resolve()):
        raise RecordsError(f"its checkpoint {trial.checkpoint} is not in {folder.root}")
    if not path.is_file():
        raise RecordsError(f"its checkpoint is gone: no {path}")
    content = read_torch_file(path)
    try:
        shape = {key: content[key] for key in ("channels", "height", "width", "num_classes")}
        return {**shape, "model": content["state"]["model"]}
    except (KeyError, TypeError) as error:
        raise RecordsError(f"{path} is not a checkpoint of tunebox") from error


def _best(log: TrialLog, front: Sequence[TrialRecord], metric: str) -> TrialRecord:
    known = [trial for trial in front if metric in trial.last_metrics]
    if not known:
        raise RecordsError(f"no trial on the front reports {metric!r}; {_choices(log)}")
    sign = 1.0 if _more_is_better(log, metric) else -1.0
    return max(known, key=lambda trial: sign * trial.last_metrics[metric])


def _more_is_better(log: TrialLog, metric: str) -> bool:
    for objective in log.objectives:
        if objective.name == metric:
            return objective.maximize
    return not (metric.endswith("_loss") or metric in _LESS_IS_BETTER)


def _choices(log: TrialLog) -> str:
    front = log.front()
    metrics = dict.fromkeys(name for trial in front for name in trial.last_metrics)
    choices = ["all", "knee", *(f"best:{name}" for name in metrics)]
    ids = [trial.trial_id for trial in front]
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    trials = f"; trials on the front: {', '.join(ids[:_SHOWN])}{more}" if ids else ""
    return f"pick one of {', '.join(choices)}, or a trial's id{trials}"
