"""What the MLflow runs of a search should be, and what a run lacks of it. Pure: no MLflow, no file.

A point is a `Report`: metrics of one step at one time. The step of a trial is its epoch; that of
the search is the number of its ended trials.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tunebox.decisions.confirmed import ConfirmedTrial
from tunebox.decisions.trials import Report, TrialLog, TrialRecord, TrialState
from tunebox.pareto.constraints import Constraints
from tunebox.pareto.hypervolume import RunningHypervolume
from tunebox.pareto.objectives import Objectives
from tunebox.records.flat_settings import flat_settings
from tunebox.records.search_folder import SearchFolder
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Scalar
from tunebox.tracking import values
from tunebox.tracking.stores import CHECKPOINT_TAG, PARETO_TAG, STATE_TAG

FRONT_TABLE = "front_table.json"
MODEL_TAG = "tunebox.logged_model"  # of a run: the file of the weights that MLflow has
TABLES_TAG = "mlflow.loggedArtifacts"  # the files that MLflow's page shows as tables
SHOWN_TABLES = json.dumps([{"path": FRONT_TABLE, "type": "table"}])
# of a trial: no curve of them says anything, so that MLflow has no chart of them; the tables do
_UNCHARTED = frozenset({"images_per_second", "train_seconds", "parameters"})
_PASSING_TAGS = {  # those that a trial may have for a time
    *(PARETO_TAG, CHECKPOINT_TAG, MODEL_TAG),
    *("tunebox.node", "tunebox.reason", "tunebox.feasible"),
}
_RUN_STATUS = {  # of a trial that runs or is paused: RUNNING
    "finished": "FINISHED",
    "stopped": "FINISHED",
    "failed": "FAILED",
    "diverged": "FAILED",
    "collapsed": "FAILED",
    "interrupted": "KILLED",
}


@dataclass(frozen=True)
class ModelSource:
    """The weights of a trial that has ended, for a logged model."""

    folder: SearchFolder
    spec: SearchSpec
    trial: TrialRecord
    mark: str  # the file of the weights, in the folder of the search
    confirmed: ConfirmedTrial | None = None  # what its settings reached with new seeds

    @property
    def name(self) -> str:
        """Name of the model."""
        return f"{self.folder.name}-{self.trial.trial_id}"


@dataclass(frozen=True, slots=True)
class RunState:
    """What a run should be."""

    name: str
    params: Mapping[str, Scalar]
    tags: Mapping[str, str]
    start_time: float
    points: Sequence[Report] = ()  # may grow; the first ``num_points`` count
    num_points: int = 0
    status: str = "RUNNING"
    end_time: float | None = None
    files: tuple[Path, ...] = ()
    tables: Mapping[str, Any] = field(default_factory=dict)  # JSON by file name
    is_search: bool = False
    uncharted: frozenset[str] = frozenset()  # metrics of the points that are not sent
    model: ModelSource | None = None  # None during the search: what is there stays

    def charted(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return what is sent of the metrics of a point."""
        return {name: value for name, value in metrics.items() if name not in self.uncharted}

    @property
    def sent_points(self) -> list[Report]:
        """The points that count, as they are sent."""
        return [
            replace(point, metrics=self.charted(point.metrics))
            for point in self.points[: self.num_points]
        ]


@dataclass(frozen=True, slots=True)
class SentRun:
    """What MLflow has acknowledged of a run."""

    run_id: str
    has_params: bool = False
    last: Report | None = None  # of the points
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)  # fingerprints, of tables too
    status: str = "RUNNING"
    left_out: bool = False  # somebody deleted it

    def having(self, update: "Update") -> "SentRun":
        """Return this with what ``update`` has brought."""
        tags = {**self.tags, **update.tags}
        return replace(
            self,
            has_params=self.has_params or bool(update.params),
            last=update.points[-1] if update.points else self.last,
            tags={name: value for name, value in tags.items() if value is not None},
            files={**self.files, **update.fingerprints},
            status=update.status[0] if update.status else self.status,
        )


@dataclass(frozen=True)
class Update:
    """A part of what a run lacks."""

    params: Mapping[str, Scalar] = field(default_factory=dict)
    points: tuple[Report, ...] = ()
    files: tuple[Path, ...] = ()
    tables: Mapping[str, Any] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)  # of files and tables
    tags: Mapping[str, str | None] = field(default_factory=dict)  # None: taken away
    status: tuple[str, float | None] | None = None  # and when it ended, None if it goes on
    model: ModelSource | None = None

    @property
    def changes_model(self) -> bool:
        """Whether it brings a logged model, or takes one away."""
        return MODEL_TAG in self.tags


def merged(updates: Sequence[Update]) -> Update:
    """Return ``updates``, parts of one difference, as one."""
    return Update(
        params={name: value for one in updates for name, value in one.params.items()},
        points=tuple(point for one in updates for point in one.points),
        files=tuple(path for one in updates for path in one.files),
        tables={name: table for one in updates for name, table in one.tables.items()},
        fingerprints={name: mark for one in updates for name, mark in one.fingerprints.items()},
        tags={name: value for one in updates for name, value in one.tags.items()},
        status=next((one.status for one in reversed(updates) if one.status), None),
        model=next((one.model for one in updates if one.model), None),
    )


def difference(wanted: RunState, sent: SentRun) -> list[Update]:
    """Return what the run lacks, in parts that MLflow can take or refuse one by one."""
    if sent.left_out:
        return []
    parts = [] if sent.has_params or not wanted.params else [Update(params=wanted.params)]
    parts += [Update(points=(point,)) for point in _new_points(wanted, sent.last)]
    for path in wanted.files:
        mark = _file_mark(path)
        if mark is not None and sent.files.get(path.name) != mark:
            parts.append(Update(files=(path,), fingerprints={path.name: mark}))
    for name, table in wanted.tables.items():
        mark = f"{zlib.crc32(json.dumps(table).encode()):08x}"
        if sent.files.get(name) != mark:
            parts.append(Update(tables={name: table}, fingerprints={name: mark}))
    left = sent.tags.keys() & _PASSING_TAGS - wanted.tags.keys()
    if PARETO_TAG in wanted.tags:
        left -= {MODEL_TAG}
    tags: dict[str, str | None] = dict.fromkeys(left)
    tags |= {name: tag for name, tag in wanted.tags.items() if sent.tags.get(name) != tag}
    parts += [Update(tags=tags)] if tags else []
    if wanted.status != sent.status:
        end_time = None if wanted.status == "RUNNING" else wanted.end_time
        parts.append(Update(status=(wanted.status, end_time)))
    model = wanted.model
    if model is not None and sent.tags.get(MODEL_TAG) != model.mark:
        parts.append(Update(model=model, tags={MODEL_TAG: model.mark}))
    return parts


def _new_points(wanted: RunState, last: Report | None) -> list[Report]:
    """Return the points behind ``last``.

    Those of a search go by their time: each process that works on it counts ended trials anew.
    """
    points = wanted.points[: wanted.num_points]
    if not points or last is None:
        return wanted.sent_points
    if not wanted.is_search:
        new = [point for point in points if point.epoch > last.epoch]
        return [replace(point, metrics=wanted.charted(point.metrics)) for point in new]
    sent_until = values.milliseconds(last.time)  # MLflow keeps no more of it
    new = [point for point in points if values.milliseconds(point.time) > sent_until]
    if not new and points[-1].metrics.items() - last.metrics.items():  # earlier versions sent more
        new = [replace(points[-1], time=last.time + 0.001)]  # MLflow counts milliseconds
    step = last.epoch
    for index, point in enumerate(new):
        step = max(point.epoch, step + 1)
        new[index] = replace(point, epoch=step)
    return new


def _file_mark(path: Path) -> str | None:
    try:
        found = path.stat()
    except OSError:  # a picture that could not be drawn
        return None
    return f"{found.st_size}-{found.st_mtime_ns}"


def trial_run(
    trial: TrialRecord, log: TrialLog, search: str, num_points: int, front: Mapping[str, str | None]
) -> RunState:
    """Return what the run of a trial should be.

    Args:
        trial: The trial as it is now.
        log: Its search.
        search: The name of the search.
        num_points: How many reports of the trial count.
        front: The trials on the front, with the files of their weights.
    """
    known: dict[str, str | None] = {
        "tunebox.kind": "trial",
        "tunebox.search": search,
        "tunebox.trial_id": trial.trial_id,
        STATE_TAG: trial.state.value,
        "tunebox.seed": None if trial.seed is None else str(trial.seed),
    }
    status = _RUN_STATUS.get(trial.state.value, "RUNNING")
    if status != "RUNNING":
        known |= {"tunebox.node": trial.node, "tunebox.reason": trial.reason}
        if log.constraints and trial.history:
            known["tunebox.feasible"] = str(log.is_feasible(trial)).lower()
    if trial.trial_id in front:
        known |= {PARETO_TAG: "true", CHECKPOINT_TAG: front[trial.trial_id]}
    return RunState(
        name=f"{search}/{trial.trial_id}",
        params=trial.settings,
        tags={name: values.tag(tag) for name, tag in known.items() if tag is not None},
        start_time=trial.start_time,
        points=trial.history,
        num_points=num_points,
        status=status,
        end_time=trial.end_time,
        uncharted=uncharted(log.objectives, log.constraints),
    )


def uncharted(objectives: Objectives, constraints: Constraints) -> frozenset[str]:
    """Return the metrics of a trial that its run does not get.

    Objectives and metrics with constraints are always sent. The user's own training loop reports
    what it likes: of that, only the time is left out, which tunebox adds.
    """
    left_out = frozenset({"train_seconds"}) if objectives.only_known else _UNCHARTED
    return left_out - {*objectives.names, *(one.metric for one in constraints)}


def search_point(log: TrialLog, time: float) -> Report:
    """Return the metrics of the search as it is now."""
    numbers = (log.hypervolume(), len(log.front()), log.epochs_spent)
    return Report(log.num_ended, _search_metrics(*numbers), time)


def search_points(log: TrialLog) -> list[Report]:
    """Return the metrics of the search when each trial ended that ended for good."""
    over = (TrialState.RUNNING, TrialState.INTERRUPTED)
    ended = [t for t in log.trials.values() if t.state not in over and t.end_time is not None]
    times = sorted(report.time for trial in log.trials.values() for report in trial.history)
    volume = RunningHypervolume(log.objectives.reference_costs)
    so_far = TrialLog(log.objectives, log.constraints)
    points, num_epochs = [], 0
    for number, trial in enumerate(sorted(ended, key=lambda t: t.end_time or 0.0), start=1):
        so_far.trials[trial.trial_id] = trial
        if log.has_result(trial):
            volume.add(log.objectives.costs(trial.last_metrics))
        end = trial.end_time or 0.0
        while num_epochs < len(times) and times[num_epochs] <= end:
            num_epochs += 1
        metrics = _search_metrics(volume.value, len(so_far.front()), num_epochs)
        points.append(Report(number, metrics, end))
    return points


def _search_metrics(volume: float, front: int, epochs: int) -> dict[str, float]:
    return {"hypervolume": volume, "front_size": float(front), "epochs_spent": float(epochs)}


def search_params(spec: SearchSpec, objectives: Objectives) -> dict[str, Scalar]:
    """Return as flat parameters what is the same for all trials, and how the search runs."""
    searched = tuple(leaf.path for leaf in spec.space.leaves)
    params = {
        path: value
        for path, value in flat_settings(spec.first_trial().model_dump()).items()
        if not any(path == leaf or path.startswith(f"{leaf}/") for leaf in searched)
    }
    params |= flat_settings({"search": spec.search.model_dump()})
    constraints = {name: bounds.model_dump() for name, bounds in spec.constraints.items()}
    params |= flat_settings({"constraints": constraints})
    for objective in objectives:
        path = f"objectives/{objective.name}"
        params[f"{path}/direction"] = "maximize" if objective.maximize else "minimize"
        params[f"{path}/reference"] = objective.reference
    params["search/file"] = spec.source.name
    params["search/searched"] = ", ".join(searched)
    return params


def front_table(log: TrialLog, spec: SearchSpec) -> dict[str, Any]:
    """Return the front in the form that MLflow's page shows as a table."""
    front = log.front()
    metrics = list(dict.fromkeys(name for trial in front for name in trial.last_metrics))
    paths = [leaf.path for leaf in spec.space.leaves]
    rows = [
        [
            trial.trial_id,
            *(trial.last_metrics.get(name) for name in metrics),
            trial.epochs,
            *(trial.settings.get(path) for path in paths),
            ", ".join(log.equals(trial.trial_id)),
        ]
        for trial in front
    ]
    return {"columns": ["trial_id", *metrics, "epochs", *paths, "equal_trials"], "data": rows}
