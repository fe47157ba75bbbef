"""The MLflow runs of a search, kept up to date with its events: a parent, and a child a trial."""

from dataclasses import replace

from tunebox import clock
from tunebox.decisions.events import (
    Ended,
    Event,
    Observer,
    Paused,
    Reported,
    SearchEnded,
    SearchStarted,
    Started,
)
from tunebox.decisions.trials import Report, TrialLog, TrialRecord
from tunebox.records.confirm_plan import read_plan
from tunebox.records.provenance import provenance_tags
from tunebox.records.rate_limit import RateLimit
from tunebox.records.search_folder import SearchFolder
from tunebox.spec.search_spec import SearchSpec
from tunebox.text import shell_command
from tunebox.tracking import values
from tunebox.tracking.cursor import Cursor
from tunebox.tracking.delivery import Delivery
from tunebox.tracking.runs import (
    FRONT_TABLE,
    SHOWN_TABLES,
    TABLES_TAG,
    ModelSource,
    RunState,
    front_table,
    search_params,
    search_point,
    search_points,
    trial_run,
)
from tunebox.tracking.stores import REPEATS_TAG, public_uri
from tunebox.tracking.system_metrics import SystemMetrics, is_wanted

_FRONT_PAUSE = 1.0  # seconds


class MlflowProjection(Observer):
    """Computes what the runs should be; a thread sends what they lack.

    What MLflow knows comes from events alone: an epoch that the journal could not keep has none.
    ``delivery`` says what MLflow has and what waits, ``cursor`` where the runs are.
    """

    def __init__(self, folder: SearchFolder, spec: SearchSpec, log: TrialLog, uri: str) -> None:
        """Read where the runs are.

        Args:
            folder: The folder of the search.
            spec: Settings of the search.
            log: The trials of the search; brought up to date before each event.
            uri: Address of MLflow's store.

        Raises:
            RecordsError: The cursor file cannot be read.
        """
        self._folder = folder
        self._spec = spec
        self._log = log
        self._uri = uri
        self._plan = read_plan(folder)  # of a confirmation
        self.cursor = Cursor(folder, public_uri(uri))
        self.delivery = Delivery(self.cursor, uri, folder.root.parent)
        self._system = SystemMetrics(self.cursor, uri) if is_wanted() else None
        self._front_rate = RateLimit(_FRONT_PAUSE)
        self._front_is_old = False
        self._front: dict[str, str | None] = {}  # and the files of the weights
        self._is_over = False
        self._num_points: dict[str, int] = {}  # by trial, as the events say
        self._points: list[Report] = []  # of the search
        self._search: RunState | None = None
        self.warnings: list[str] = []  # what went wrong without stopping the search

    def on(self, event: Event) -> None:
        """Change what the run of a trial, or of the search, should be."""
        match event:
            case SearchStarted():
                self.start(event.time)
                if self._system is not None:
                    self._system.start()
            case Started():
                self._num_points.setdefault(event.trial_id, 0)
                self._put_trial(event.trial_id)
            case Reported():
                self._num_points[event.trial_id] = event.report.epoch
                self._put_trial(event.trial_id)
            case Paused():
                self._put_trial(event.trial_id)
            case Ended():
                self._front_is_old = True
                self._put_trial(event.trial_id)
            case SearchEnded():
                status = "KILLED" if event.interrupted else "FINISHED"
                self.end("FAILED" if event.trouble else status, event.time)
                self._close()
                return
        self.delivery.wake()

    def tick(self) -> None:
        """Look at the front again when it is time."""
        if self._front_is_old and self._front_rate.is_due:
            self._front_rate.run(lambda: self._look_at_front(clock.now()))
            self.delivery.wake()

    def start(self, start_time: float, *, is_running: bool = True) -> None:
        """Compute all runs from what the log has; nothing is sent.

        Args:
            start_time: Start of the search, used where its run is still to be made.
            is_running: The search goes on with this version of the program.
        """
        self.cursor.open(has_past=bool(self._log.trials))
        self._points = search_points(self._log)
        tags = {"tunebox.kind": "search", "tunebox.search": self._folder.name}
        if self._plan is not None:
            tags |= {"tunebox.kind": "confirmation", REPEATS_TAG: self._plan.search}
        if is_running or self.cursor.run_id is None:
            tags |= provenance_tags()
        if self._spec.question:
            tags["mlflow.note.content"] = values.tag(self._spec.question)  # shown on top
        self._search = RunState(
            name=self._folder.name,
            params=search_params(self._spec, self._log.objectives),
            tags=tags,
            start_time=start_time,
            points=self._points,
            files=(self._folder.search_file,),
            is_search=True,
        )
        self._front = self._front_now()
        self._num_points = {key: len(trial.history) for key, trial in self._log.trials.items()}
        for trial_id in self._log.trials:
            self._put_trial(trial_id)
        self._put_search()

    def end(self, status: str, end_time: float) -> None:
        """Compute the last values of the search and close its run as ``status``."""
        if self._search is None:  # another observer could not even start
            return
        self._is_over = True
        self._look_at_front(end_time)
        for trial_id in self._front:
            self._put_trial(trial_id)
        folder = self._folder
        ending = [folder.report, folder.front_png, folder.front, folder.trials, folder.history]
        if self._plan is not None:
            ending.append(SearchFolder(folder.root.parent / self._plan.search).confirmed)
        self._search = replace(
            self._search,
            tags={**self._search.tags, TABLES_TAG: SHOWN_TABLES},
            files=(*self._search.files, *ending),
            tables={} if self._plan else {FRONT_TABLE: front_table(self._log, self._spec)},
            status=status,
            end_time=end_time,
        )
        self._put_search()

    def _close(self) -> None:
        if self._system is not None:
            self._system.stop()
        self.delivery.close()
        self.warnings += [*self.cursor.warnings, *self._undelivered()]

    def _put_trial(self, trial_id: str) -> None:
        trial, num_points = self._log.trials.get(trial_id), self._num_points.get(trial_id)
        if trial is not None and num_points is not None:
            run = trial_run(trial, self._log, self._folder.name, num_points, self._front)
            repeated = None if self._plan is None else self._plan.repeated(trial.settings)
            if repeated is not None:
                tags = {"tunebox.kind": "retraining", REPEATS_TAG: repeated}
                run = replace(run, tags={**run.tags, **tags})
            self.delivery.put(trial_id, replace(run, model=self._model_of(trial)))

    def _model_of(self, trial: TrialRecord) -> ModelSource | None:
        """Return the weights of a trial for a logged model, once the search is over."""
        file = self._front.get(trial.trial_id)
        is_own_loop = self._spec.kind.names_metrics
        if not self._is_over or file is None or is_own_loop:
            return None
        if not (self._folder.root / file).is_file():
            return None
        return ModelSource(self._folder, self._spec, trial, file)

    def _put_search(self) -> None:
        assert self._search is not None
        self._search = replace(self._search, num_points=len(self._points))
        self.delivery.put(None, self._search)

    def _look_at_front(self, now: float) -> None:
        """Tag the trials of the front, and add the metrics of the search as they are now."""
        self._front_is_old = False
        before = self._front
        self._front = self._front_now()
        for trial_id in sorted({key for key, _ in before.items() ^ self._front.items()}):
            self._put_trial(trial_id)
        if self._points:  # MLflow is sent what is later than the last: a clock may be set back
            now = max(now, self._points[-1].time + 0.001)
        point = search_point(self._log, now)
        if not self._points or point.metrics != self._points[-1].metrics:
            self._points.append(point)
        self._put_search()

    def _front_now(self) -> dict[str, str | None]:
        """Return the trials on the front; the best of single retrainings are no front to show."""
        front = [] if self._plan is not None else self._log.front()
        return {trial.trial_id: trial.checkpoint for trial in front}

    def _undelivered(self) -> list[str]:
        """Return a line for what MLflow lacks, and one for what it refused."""
        store = f"MLflow at {public_uri(self._uri)}"
        lack, refusals = self.delivery.backlog(), self.delivery.refusals
        lines = []
        if lack.num_updates:
            again = shell_command("tunebox", "sync", self._folder.name, *self._folder.out_option)
            most = "" if self.delivery.is_known else "up to "
            time_ = "" if lack.seconds is None else f" in {_about(lack.seconds)}"
            reason = self.delivery.error or "it is slow"
            lines.append(
                f"{store} lacks {most}{lack.num_updates} updates of {lack.num_trials} trials "
                f"({reason}); deliver them{time_} with: {again}"
            )
        if refusals:
            lines.append(
                f"{store} refused {len(refusals)} updates ({refusals[0]}); "
                f"the tables in {self._folder.root} have all"
            )
        return lines


def _about(seconds: float) -> str:
    """Return a time as a person says it."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min"
