"""Load of the driver's machine as metrics of the search's run, where MLflow is asked for them.

MLflow's own switch asks for them, the variable ``MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING``, and its
own monitor measures. Its loop is not used: that ends for good at the first failed call.
"""

import contextlib
import os
import threading
from typing import Any

from tunebox.tracking.cursor import Cursor

SYSTEM_PREFIX = "system/"  # of the names of these metrics, by MLflow
_SWITCH = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
_PAUSE = 0.5  # seconds between two looks for the run, or two tries
_END_SECONDS = 5.0


def is_wanted() -> bool:
    """Whether MLflow's switch for system metrics is on."""
    return os.environ.get(_SWITCH, "").lower() in ("true", "1")


class SystemMetrics:
    """Measures this machine in a thread of its own until it is stopped.

    What MLflow does not take is lost: it is of no search, so that the journal does not have it.
    No failure reaches the search.
    """

    def __init__(self, cursor: Cursor, uri: str) -> None:
        """Do nothing yet.

        Args:
            cursor: Names the run of the search.
            uri: Address of MLflow's store.
        """
        self._cursor = cursor
        self._uri = uri
        self._is_over = threading.Event()
        # a daemon: a server that does not answer must not keep the program alive
        self._thread = threading.Thread(target=self._run, name="system metrics", daemon=True)

    def start(self) -> None:
        """Start the thread, which waits for the run of the search."""
        self._thread.start()

    def stop(self) -> None:
        """Send what was measured last and end; give up where MLflow does not answer soon."""
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        monitor: Any = None  # MLflow's, which has no types
        of_run: str | None = None
        while not self._is_over.is_set():
            run_id = self._cursor.run_id
            try:
                if run_id is not None and run_id != of_run:
                    monitor, of_run = _monitor(run_id, self._uri), run_id
                if monitor is not None:
                    self._measure(monitor)
                    continue
            except Exception:  # MLflow is away, or has lost the run
                if monitor is not None:
                    monitor.mlflow_logger.data.clear()  # their step is given to the next
            self._is_over.wait(_PAUSE)
        if monitor is not None:
            with contextlib.suppress(Exception):
                monitor.mlflow_logger.flush()

    def _measure(self, monitor: Any) -> None:
        for _ in range(monitor.samples_before_logging):
            monitor.collect_metrics()
            if self._is_over.wait(monitor.sampling_interval):
                break
        monitor.publish_metrics(monitor.aggregate_metrics())


def _monitor(run_id: str, uri: str) -> Any:
    """Return MLflow's monitor; the steps of a resumed search go on behind those of before."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
    from mlflow.tracking import MlflowClient

    MlflowClient(tracking_uri=uri).get_run(run_id)  # the monitor takes a failure for a new run
    made: Any = SystemMetricsMonitor
    return made(run_id, tracking_uri=uri, resume_logging=True)
