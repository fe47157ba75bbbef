"""Brings what waits in an outbox to MLflow, in a thread or at once, however often it takes."""

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tunebox.records.outbox import Outbox
from tunebox.records.pace import Pace
from tunebox.records.run_updates import RunUpdate, merge
from tunebox.records.tracking import public_reason, public_uri, responsive_client

if TYPE_CHECKING:
    from tunebox.records.mlflow_writer import MlflowWriter

_log = logging.getLogger(__name__)

END_SECONDS = 60.0  # at most, at the end of a search, for what still waits
AWAY_SECONDS = 5.0  # of them without a delivery, when MLflow does not answer
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds between tries
_SEND_PAUSE = 3.0  # seconds between rounds of sending: each call to a database costs CPU time
_SEND_SHARE = 0.2  # of the time, at most, may go into sending
_TRIES = 4  # without a delivery, when somebody waits for it
_MOST_FAILURES = 2  # in a row: the rest of the round would fail in the same way

# The store answered, and will answer the same the next time. Not among them: what a person can
# put right, such as a password.
_REFUSALS = (
    "BAD_REQUEST",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
)
_REFUSED_FILES = (400, 404, 405, 413, 501)  # HTTP's codes for a file that is not taken


class Delivery:
    """Sends what waits run by run: all that was noted for a run since the last time at once."""

    def __init__(self, outbox: Outbox, uri: str, out: Path, ids_file: Path | None = None) -> None:
        """Do nothing yet.

        Args:
            outbox: What waits.
            uri: Of MLflow's store.
            out: The folder of all searches; artifacts go there when the store is a database.
            ids_file: Where to note which runs these are; None to note it nowhere.
        """
        self._outbox = outbox
        self._uri = uri
        self._out = out
        self._ids_file = ids_file
        self._writer: MlflowWriter | None = None
        self._changed = threading.Condition()
        self._closing = self._gave_up = self._has_warned = False
        self._last_delivery = 0.0
        self._piece_sizes: dict[str | None, int] = {}  # operations at once, after a failure
        self._thread: threading.Thread | None = None
        self.error: str | None = None  # what MLflow said last, None while all is well

    @property
    def experiment_id(self) -> str | None:
        """The experiment of the runs; None until MLflow has answered."""
        return None if self._writer is None else self._writer.experiment_id

    def wake(self) -> None:
        """Let the thread deliver what has been added; the first call starts it."""
        with self._changed:
            if self._thread is None:
                # a daemon: a server that does not answer must not keep the program alive
                self._thread = threading.Thread(target=self._run, name="mlflow", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Wait until all is delivered, for seconds if MLflow is away, and end the thread."""
        start = time.monotonic()
        with self._changed:
            self._closing = True
            self._last_delivery = start
            self._changed.notify_all()
            while self._thread is not None and self._thread.is_alive() and not self._gave_up:
                now = time.monotonic()
                is_away = self.error is not None and now - self._last_delivery >= AWAY_SECONDS
                self._gave_up = is_away or now - start >= END_SECONDS
                self._changed.wait(0.05)

    def deliver_now(self) -> None:
        """Deliver all that waits before returning, unless MLflow fails several times in a row."""
        failures = 0
        with responsive_client():
            while self._outbox.num_waiting and failures < _TRIES:
                if failures:
                    time.sleep(_FIRST_PAUSE * 2 ** (failures - 1))
                before = self._outbox.num_waiting
                self._round()
                failures = 0 if self._outbox.num_waiting < before else failures + 1

    def _run(self) -> None:
        pace = Pace(_SEND_PAUSE, _SEND_SHARE)
        pause = _FIRST_PAUSE
        with responsive_client():
            while self._wait_for_work():
                pace.run(self._round)
                failed = self.error is not None
                self._rest(pause if failed else pace.seconds_left, failed)
                pause = min(2 * pause, _LONGEST_PAUSE) if failed else _FIRST_PAUSE

    def _wait_for_work(self) -> bool:
        """Wait until something waits; return False once all is delivered, or given up."""
        with self._changed:
            self._changed.wait_for(lambda: self._outbox.num_waiting or self._closing)
            return self._outbox.num_waiting > 0 and not self._gave_up

    def _rest(self, seconds: float, failed: bool) -> None:
        with self._changed:  # what is added meanwhile is merged: a short trial is two calls
            self._changed.wait_for(lambda: self._closing, seconds)
            if failed and self._closing:
                self._changed.wait_for(lambda: self._gave_up, _FIRST_PAUSE)

    def _round(self) -> None:
        """Try once to send all that waits."""
        failures = 0
        self._outbox.sync()  # what MLflow is told is not to be forgotten here
        try:
            writer = self._open_writer()
        except Exception as error:  # whatever MLflow throws, the search goes on
            self._note(error)
            return
        for update in merge(self._outbox.waiting):
            is_child = update.trial_id is not None
            if self._gave_up or (is_child and None not in self._outbox.run_ids):
                return  # a child needs its parent
            try:
                self._send_in_pieces(writer, update)
            except Exception as error:
                self._note(error)
                failures += 1
                if failures == _MOST_FAILURES:
                    return
            else:
                self.error, failures = None, 0

    def _send_in_pieces(self, writer: "MlflowWriter", update: RunUpdate) -> None:
        """Send ``update``, smaller pieces after each failure: so that some of it gets through."""
        operations = update.operations
        size = self._piece_sizes.pop(update.trial_id, len(operations))
        while operations:
            piece, operations = operations[:size], operations[size:]
            try:
                self._send(writer, merge(piece)[0])
            except Exception:
                self._piece_sizes[update.trial_id] = max(1, len(piece) // 2)
                raise
            size *= 2

    def _send(self, writer: "MlflowWriter", update: RunUpdate) -> None:
        """Send ``update``; what MLflow refuses is found in it and sorted out."""
        try:
            writer.send(update)
        except Exception as error:
            is_opening = update.trial_id is None and None not in self._outbox.run_ids
            if is_opening or not _is_refusal(error, self._uri):  # nothing goes without the parent
                raise
            if len(update.operations) == 1:
                what = f"{update.trial_id or 'the search'}: {public_reason(error, self._uri)}"
                self._outbox.refuse(update.numbers, what)
            else:
                middle = len(update.operations) // 2
                for half in (update.operations[:middle], update.operations[middle:]):
                    self._send(writer, merge(half)[0])
        else:
            self._outbox.done(update.numbers)
            with self._changed:
                self._last_delivery = time.monotonic()
                self._changed.notify_all()

    def _open_writer(self) -> "MlflowWriter":
        if self._writer is None:
            from tunebox.records.mlflow_writer import MlflowWriter

            self._writer = MlflowWriter(self._uri, self._out, self._outbox, self._ids_file)
        return self._writer

    def _note(self, error: Exception) -> None:
        self.error = public_reason(error, self._uri)
        if not self._has_warned:  # once: the end of a search says what came of it
            self._has_warned = True
            _log.warning("MLflow at %s: %s; trying again", public_uri(self._uri), self.error)


def _is_refusal(error: Exception, uri: str) -> bool:
    """Whether the store, or our call, is at fault in a way that waiting does not mend."""
    from mlflow.exceptions import MlflowException, RestException

    if isinstance(error, MlflowException):
        # What stands before a server (a proxy that says 404 while it restarts) does not speak
        # for it: only an answer in MLflow's own form is a RestException.
        is_from_store = isinstance(error, RestException) or not uri.startswith("http")
        return is_from_store and error.error_code in _REFUSALS
    if isinstance(error, OSError):  # connections that fail are OSErrors, and so are these
        status = getattr(getattr(error, "response", None), "status_code", None)
        return status in _REFUSED_FILES
    return isinstance(error, LookupError | ValueError | TypeError | ImportError)
