"""All that records a search in its folder and in MLflow, as one observer."""

import time
from collections.abc import Mapping

from tests.records.make_log import make_spec
from tunebox.decisions.events import Event, Observer, SearchEnded, SearchStarted
from tunebox.decisions.trials import TrialLog
from tunebox.records.journal import JournalWriter
from tunebox.records.run_end import RunEnd
from tunebox.records.search_folder import SearchFolder
from tunebox.records.table_writer import TableWriter
from tunebox.reports.report_files import ReportFiles
from tunebox.tracking.projection import MlflowProjection


class Recorder(Observer):
    """Journal, tables, pictures and MLflow."""

    def __init__(self, folder: SearchFolder, uri: str, log: TrialLog) -> None:
        spec = make_spec()
        self.tables = TableWriter(folder, spec, log)
        self.picture = ReportFiles(folder, spec, log)
        self.mlflow = MlflowProjection(folder, spec, log, uri)
        journal = JournalWriter(folder.journal, folder.name)
        self._observers: list[Observer] = [journal, self.tables, self.picture, self.mlflow]

    @property
    def warnings(self) -> list[str]:
        return [*self.tables.warnings, *self.picture.warnings, *self.mlflow.warnings]

    def wait_until_sent(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while self.mlflow.delivery.num_waiting:
            assert time.monotonic() < deadline, self.mlflow.delivery.error
            time.sleep(0.02)

    def die(self) -> None:
        """Let nothing more happen, as in a killed process."""
        delivery = self.mlflow.delivery
        with delivery._changed:
            delivery._gave_up = delivery._closing = True
            delivery._changed.notify_all()
        assert delivery._thread is not None
        delivery._thread.join(30)

    def on(self, event: Event) -> None:
        for observer in self._observers:
            observer.on(event)

    def tick(self) -> None:
        for observer in self._observers:
            observer.tick()

    def search_started(self) -> None:
        self.on(SearchStarted(time.time(), "host", 1))

    def search_ended(self, interrupted: bool, trouble: str | None = None) -> None:
        self.on(SearchEnded(time.time(), interrupted, trouble))


def in_mlflow(metrics: Mapping[str, float]) -> dict[str, float]:
    """What MLflow gets of the metrics of a trial: the time of its training is in the tables."""
    return {name: value for name, value in metrics.items() if name != "train_seconds"}


def ended(interrupted: bool = False, trouble: str | None = None) -> RunEnd:
    """How a search ended, as it notes it."""
    return RunEnd(
        tracking_uri="",
        interrupted=interrupted,
        ended="",
        is_complete=True,
        warnings=[],
        go_on="",
        trouble=trouble,
        traceback=None,
    )
