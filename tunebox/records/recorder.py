"""Records a search while it runs: search.yaml, the tables, the plot of the front, MLflow."""

import logging

from tunebox.pareto.objectives import Objectives
from tunebox.records.files import write_text
from tunebox.records.flat_settings import flat_settings
from tunebox.records.mlflow_runs import MlflowRuns
from tunebox.records.pace import Pace
from tunebox.records.provenance import provenance_tags
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import write_tables
from tunebox.spec.search_spec import SearchSpec, default_out
from tunebox.spec.space import Scalar
from tunebox.spec.write import search_yaml
from tunebox.trials import Report, SearchObserver, TrialLog, TrialRecord, TrialState

_log = logging.getLogger(__name__)

_TABLE_PAUSE = 5.0  # seconds; longer once writing takes long
_FRONT_PAUSE = 1.0


class SearchRecorder(SearchObserver):
    """Writes what it hears into the folder of the search and, unless None, into MLflow."""

    def __init__(self, folder: SearchFolder, spec: SearchSpec, runs: MlflowRuns | None) -> None:
        self._folder = folder
        self._spec = spec
        self._runs = runs
        self._tables_pace = Pace(_TABLE_PAUSE)
        self._front_pace = Pace(_FRONT_PAUSE)
        self._front_is_old = False
        self._log: TrialLog | None = None
        self.warnings: list[str] = []  # what went wrong without stopping the search

    def search_started(self, log: TrialLog) -> None:
        """Write search.yaml and the tables, and open the run of the search.

        The trials of a search that goes on are in ``log``: MLflow is told what it does not know.
        """
        self._log = log
        self._front_is_old = bool(log.trials)
        write_text(self._folder.search_file, search_yaml(self._spec))
        self._tables_pace.run(self._write_tables)
        if self._runs is not None:
            self._runs.start_search(
                self._folder.name,
                search_params(self._spec, log.objectives),
                self._tags(),
                [self._folder.search_file],
            )
            self._runs.take_back(log.trials)
            for trial in log.trials.values():
                _catch_up(self._runs, trial, log)

    def trial_started(self, trial: TrialRecord) -> None:
        """Open the run of the trial."""
        if self._runs is not None:
            self._runs.start_trial(trial.trial_id, trial.settings, trial.start_time)

    def trial_reported(self, trial: TrialRecord, report: Report) -> None:
        """Add the metrics to the run of the trial."""
        if self._runs is not None:
            self._runs.log_report(trial.trial_id, report)

    def trial_ended(self, trial: TrialRecord) -> None:
        """Close the run of the trial; the front is looked at again soon."""
        self._front_is_old = True
        if self._runs is not None:
            assert self._log is not None
            tags = _end_tags(trial, self._log)
            self._runs.end_trial(trial.trial_id, trial.state, tags, trial.end_time)

    def tick(self) -> None:
        """Write the tables and the front again when it is time."""
        if self._tables_pace.is_due:
            self._tables_pace.run(self._write_tables)
        if self._front_is_old and self._front_pace.is_due:
            self._front_pace.run(self._send_front)

    def search_ended(self, interrupted: bool, trouble: str | None = None) -> None:
        """Write everything for the last time, and wait until MLflow has it."""
        self._write_tables()
        self._draw_front()
        if self._runs is None:
            return
        self._send_front()
        self._runs.log_table("front_table.json", self._front_columns())
        folder = self._folder
        self._runs.log_artifacts(
            [folder.front_html, folder.front_png, folder.front, folder.trials, folder.history]
        )
        self._runs.end_search("FAILED" if trouble else "KILLED" if interrupted else "FINISHED")
        self._runs.close()
        for warning in (*self._runs.warnings, *undelivered(self._runs, folder)):
            self._warn(warning)

    def _write_tables(self) -> None:
        assert self._log is not None
        try:
            write_tables(self._folder, self._log, self._spec.space.leaves)
        except OSError as error:  # a full disk must not end a search whose trials still run
            self._warn(f"{self._folder.root}: tables not written: {error.strerror or error}")

    def _draw_front(self) -> None:
        from tunebox.records.front_image import write_front_png
        from tunebox.records.front_plot import write_front_html

        assert self._log is not None
        try:
            write_front_html(self._log, self._folder.name, self._folder.front_html)
            write_front_png(self._log, self._folder.name, self._folder.front_png)
        except OSError as error:
            self._warn(f"{self._folder.root}: front not drawn: {error.strerror or error}")

    def _send_front(self) -> None:
        self._front_is_old = False
        if self._runs is None:
            return
        assert self._log is not None
        front = self._log.front()
        self._runs.set_front({trial.trial_id: trial.checkpoint for trial in front})
        metrics = {
            "hypervolume": self._log.hypervolume(),
            "front_size": float(len(front)),
            "trials_ended": float(self._log.num_ended),
            "epochs_spent": float(self._log.epochs_spent),
        }
        self._runs.log_search_metrics(self._log.num_ended, metrics)

    def _front_columns(self) -> dict[str, list[Scalar]]:
        assert self._log is not None
        front = self._log.front()
        columns: dict[str, list[Scalar]] = {"trial_id": [trial.trial_id for trial in front]}
        for name in dict.fromkeys(name for trial in front for name in trial.last_metrics):
            columns[name] = [trial.last_metrics.get(name) for trial in front]
        columns["epochs"] = [trial.epochs for trial in front]
        for leaf in self._spec.space.leaves:
            columns[leaf.path] = [trial.settings.get(leaf.path) for trial in front]
        return columns

    def _tags(self) -> dict[str, str]:
        tags = provenance_tags()
        if self._spec.question:
            tags["mlflow.note.content"] = self._spec.question  # the page shows it on top
        return tags

    def _warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)
            _log.warning("%s", message)


def _end_tags(trial: TrialRecord, log: TrialLog) -> dict[str, str]:
    known = {"node": trial.node, "reason": trial.reason}
    if log.constraints and trial.history:
        known["feasible"] = str(log.is_feasible(trial)).lower()
    return {f"tunebox.{name}": value for name, value in known.items() if value is not None}


def _catch_up(runs: MlflowRuns, trial: TrialRecord, log: TrialLog) -> None:
    if runs.told_state(trial.trial_id) is None or trial.state is TrialState.RUNNING:
        runs.start_trial(trial.trial_id, trial.settings, trial.start_time)
    for report in trial.history:
        runs.log_report(trial.trial_id, report)
    if trial.state is not TrialState.RUNNING:
        runs.end_trial(trial.trial_id, trial.state, _end_tags(trial, log), trial.end_time)


def undelivered(runs: MlflowRuns, folder: SearchFolder) -> list[str]:
    """Return a line for what still waits for MLflow, and one for what it refused."""
    lines = []
    if runs.num_waiting:
        lines.append(
            f"MLflow at {runs.public_uri} lacks {runs.num_waiting} updates "
            f"({runs.error or 'it is slow'}); they wait in {folder.outbox}; deliver them with: "
            f"{sync_command(folder)}"
        )
    if runs.refusals:
        lines.append(
            f"MLflow at {runs.public_uri} refused {len(runs.refusals)} updates "
            f"({runs.refusals[0]}); the tables in {folder.root} have all"
        )
    return lines


def sync_command(folder: SearchFolder) -> str:
    """Return the command line that delivers what waits."""
    out = str(folder.root.parent)
    return f"tunebox sync {folder.name}" + ("" if out == default_out() else f" --out {out}")


def search_params(spec: SearchSpec, objectives: Objectives) -> dict[str, Scalar]:
    """Return as flat parameters what is the same for all trials, and how the search runs."""
    values = spec.space.draw(lambda leaf: leaf.distribution.ends[0])
    searched = tuple(leaf.path for leaf in spec.space.leaves)
    params = {
        path: value
        for path, value in flat_settings(spec.trial_config(values).model_dump()).items()
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
