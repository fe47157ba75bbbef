"""Brings the MLflow runs of a search to what they should be, in a thread or at once."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tunebox.text import printable
from tunebox.tracking.cursor import Cursor, Key
from tunebox.tracking.reasons import public_reason
from tunebox.tracking.runs import RunState, SentRun, Update, difference, merged
from tunebox.tracking.store_file import LostRunError
from tunebox.tracking.stores import public_uri, responsive_client

if TYPE_CHECKING:
    from mlflow.entities import Run

    from tunebox.tracking.client import SearchStore

_log = logging.getLogger(__name__)

END_SECONDS = 120.0  # at most, at the end of a search, for what MLflow lacks: models take long
AWAY_SECONDS = 5.0  # of them without a delivery, when MLflow does not answer
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds between tries
_SEND_PAUSE = 10.0  # seconds between rounds of sending: what comes meanwhile is sent at once
_SEND_SHARE = 0.3  # of the time may go into sending; all of it once many runs are behind
_MANY = 100  # runs
_GROUP = 100  # runs in one transaction of a database
_TRIES = 4  # without a delivery, when somebody waits for it
_MOST_FAILURES = 2  # in a row: the rest of the round would fail in the same way


@dataclass(frozen=True)
class Backlog:
    """What MLflow lacks."""

    num_updates: int
    num_trials: int
    seconds: float | None  # to deliver it, as quickly as before; None if nothing was delivered


class Delivery:
    """Sends run by run what each lacks. The search calls `put` and never waits for MLflow.

    Attributes:
        runs: What MLflow has.
        is_known: Whether MLflow has been asked what it has.
        refusals: A line for each update that MLflow will never take.
        num_delivered: Updates.
        error: What MLflow said last, None while all is well.
    """

    def __init__(self, cursor: Cursor, uri: str, out: Path) -> None:
        """Do nothing yet.

        Args:
            cursor: Names the runs of the search.
            uri: Address of MLflow's store.
            out: The folder of all searches; artifacts go there when the store is a database.
        """
        self._cursor = cursor
        self._uri = uri
        self._out = out
        self._store: SearchStore | None = None
        self._changed = threading.Condition()
        self._wanted: dict[Key, RunState] = {}  # all runs
        self._behind: dict[Key, RunState] = {}  # those that may lack something, in order
        self._piece_sizes: dict[Key, int] = {}  # updates at once, after a failure
        self._closing = self._gave_up = self._has_warned = self._has_lost_runs = False
        self._last_delivery = self._seconds = 0.0
        self._thread: threading.Thread | None = None
        self.runs: dict[Key, SentRun] = {}
        self.is_known = False
        self.refusals: list[str] = []
        self.num_delivered = 0
        self.error: str | None = None

    @property
    def num_waiting(self) -> int:
        """How many updates MLflow does not have yet."""
        return self.backlog().num_updates

    def backlog(self) -> Backlog:
        """Return how much MLflow lacks, and how long it will take."""
        with self._changed:
            behind = [(key, run, self.runs.get(key)) for key, run in self._behind.items()]
        lacking = {
            key: len(difference(run, sent or SentRun(""))) + (sent is None)
            for key, run, sent in behind
        }
        num_updates = sum(lacking.values())
        num_trials = sum(count > 0 for key, count in lacking.items() if key is not None)
        pace = self._seconds / self.num_delivered if self.num_delivered else None
        return Backlog(num_updates, num_trials, None if pace is None else pace * num_updates)

    def put(self, key: Key, wanted: RunState) -> None:
        """Set what the run of a trial, or of the search, should be."""
        with self._changed:
            self._wanted[key] = self._behind[key] = wanted

    def wake(self) -> None:
        """Let the thread send what there is; the first call starts it."""
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
        """Deliver all before returning, unless MLflow fails several times in a row."""
        failures = 0
        with responsive_client():
            while self._behind and failures < _TRIES:
                if failures:
                    time.sleep(_FIRST_PAUSE * 2 ** (failures - 1))
                before = self.num_waiting
                self._round()
                failures = 0 if self.num_waiting < before else failures + 1

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        with responsive_client():
            while self._wait_for_work():
                sent, start = self.num_delivered, time.monotonic()
                self._round()
                seconds = time.monotonic() - start
                failed = self.error is not None
                if self.num_delivered > sent:  # MLflow is there, if not always
                    pause = _FIRST_PAUSE
                self._rest(pause if failed else self._pause_after(seconds), failed)
                pause = min(2 * pause, _LONGEST_PAUSE) if failed else _FIRST_PAUSE

    def _wait_for_work(self) -> bool:
        """Wait until a run lacks something; return False once all is delivered, or given up."""
        with self._changed:
            self._changed.wait_for(lambda: self._behind or self._closing)
            return bool(self._behind) and not self._gave_up

    def _pause_after(self, seconds: float) -> float:
        """Return how long to leave the time to the search after so many seconds of sending."""
        backlog = len(self._behind) / _MANY
        share = min(1.0, _SEND_SHARE * (1 + backlog))
        return max(_SEND_PAUSE if backlog < 1 else 0.0, seconds / share - seconds)

    def _rest(self, seconds: float, failed: bool) -> None:
        with self._changed:  # what is put meanwhile is merged: a short trial is few calls
            self._changed.wait_for(lambda: self._closing, seconds)
            if failed and self._closing:
                self._changed.wait_for(lambda: self._gave_up, _FIRST_PAUSE)

    def _round(self) -> None:
        """Try once to bring all runs to what they should be."""
        before, start = self.num_delivered, time.monotonic()
        try:
            if self._has_lost_runs or (self._store is not None and self._store.is_lost):
                self._look_again()
            store = self._open_store()
            self._bring_all(store)
            if store.is_lost:  # what was written last went nowhere
                self._look_again()
        except Exception as error:  # whatever MLflow throws, the search goes on
            self._note(error)
        if self.num_delivered > before:
            self._seconds += time.monotonic() - start

    def _bring_all(self, store: "SearchStore") -> None:
        with self._changed:
            children = [key for key in self._behind if key is not None]
            parents = [key for key in self._behind if key is None]  # the search ends last
        size = _GROUP if store.rows is not None else max(1, len(children))
        for at in range(0, len(children), size):
            keys: list[Key] = [*children[at : at + size]]
            if not self._bring_each(store, self._bring_together(store, keys)):
                return
        if self._bring_each(store, parents):
            # models take seconds to make: all else is there before
            lacking = [key for key in children if self._lacks_model(key)]
            self._bring_each(store, lacking, with_models=True)

    def _lacks_model(self, key: Key) -> bool:
        with self._changed:
            wanted, sent = self._behind.get(key), self.runs.get(key)
        if wanted is None or sent is None:
            return False
        return any(update.changes_model for update in difference(wanted, sent))

    def _open_store(self) -> "SearchStore":
        """Return the store once it is known what it has of the search, with the search's run."""
        if self._store is None:
            from tunebox.tracking.client import SearchStore

            self._store = SearchStore(self._uri, self._out, self._cursor)
        if not self.is_known:
            for key, run in self._store.runs():
                if key not in self.runs:
                    self._take_in(self._store, key, run)
            self.is_known = True
        if None not in self.runs:  # a child needs its parent
            self._store.announce([None])
            self._open_run(self._store, None, self._behind[None])
        return self._store

    def _look_again(self) -> None:
        """Ask anew what MLflow has, after it was seen that it has lost something."""
        what = "was deleted, emptied or replaced: what it lacks of this search is sent again"
        _log.warning("%s", printable(f"MLflow at {public_uri(self._uri)} {what}"))
        self._store, self.is_known, self._has_lost_runs = None, False, False
        self.runs.clear()
        self._piece_sizes.clear()
        with self._changed:
            self._behind = dict(self._wanted)

    def _take_in(self, store: "SearchStore", key: Key, run: "Run") -> None:
        """Note what a run of an earlier process has."""
        wanted = self._behind.get(key)
        if run.info.lifecycle_stage != "active":
            if wanted is not None:
                self._leave_out(key, SentRun(run.info.run_id))
            return
        sent = None if wanted is None else store.state_of(run, wanted)
        if sent is None:  # there is no such trial, or it was another, as far as it is known
            store.delete(run.info.run_id)
        else:
            self.runs[key] = sent if key is not None else replace(sent, files=self._cursor.files)
            store.note_run(key, sent.run_id)

    def _bring_together(self, store: "SearchStore", keys: Sequence[Key]) -> Sequence[Key]:
        """Bring runs of a database to what they should be; return those that need calls."""
        from tunebox.tracking.rows import Change

        if store.rows is None or self._gave_up:
            return keys
        with self._changed:
            wanted = {key: self._behind[key] for key in keys if key not in store.in_doubt}
        changes, counts = {}, 0
        for key, run in wanted.items():
            sent = self.runs.get(key)
            updates = _without_models(difference(run, sent or SentRun("", tags=run.tags)))
            tags = store.extra_tags(key, self.runs[None])
            counts += len(updates) + (sent is None)
            if updates or sent is None:
                changes[key] = Change(run, merged(updates), sent, tags)
        try:
            if changes:
                self.runs |= zip(changes, store.rows.write([*changes.values()]), strict=True)
                self._count(counts)
        except Exception:  # one by one, it is seen what it was; the rows may be there
            made = [key for key in changes if key not in self.runs]
            store.in_doubt |= dict.fromkeys(made, 0.0)
            return keys
        for key, run in wanted.items():
            if not difference(run, self.runs[key]):
                self._is_brought(key, run)
        return [key for key in keys if key not in wanted]

    def _bring_each(
        self, store: "SearchStore", keys: Sequence[Key], *, with_models: bool = False
    ) -> bool:
        """Bring runs to what they should be by calls; return False if the next would fail too.

        Logged models, which take longer than all the rest, are left out unless ``with_models``.
        """
        failures = 0
        for at in range(0, len(keys), store.calls_at_once):
            some = keys[at : at + store.calls_at_once]
            if self._gave_up or failures >= _MOST_FAILURES:
                return False
            store.announce([key for key in some if key not in self.runs])
            brought = _side_by_side(lambda key: self._bring(store, key, with_models), some)
            failures = 0 if any(brought) else failures + len(some)
        return failures < _MOST_FAILURES

    def _bring(self, store: "SearchStore", key: Key, with_models: bool) -> bool:
        """Bring one run to what it should be; return whether it succeeded."""
        with self._changed:
            wanted = self._behind[key]
        try:
            if key not in self.runs:
                self._open_run(store, key, wanted)
            lacking = difference(wanted, self.runs[key])
            self._send_in_pieces(store, key, lacking if with_models else _without_models(lacking))
        except Exception as error:
            self._note(error)
            with self._changed:  # others get their turn before it
                self._behind[key] = self._behind.pop(key)
            return False
        if not difference(wanted, self.runs[key]):
            self._is_brought(key, wanted)
        return True

    def _is_brought(self, key: Key, wanted: RunState) -> None:
        with self._changed:
            if self._behind[key] is wanted:
                del self._behind[key]

    def _open_run(self, store: "SearchStore", key: Key, wanted: RunState) -> None:
        parent = None if key is None else self.runs[None]
        self.runs[key] = store.open_run(key, wanted, parent)
        store.note_run(key, self.runs[key].run_id)
        self._count(1)

    def _send_in_pieces(self, store: "SearchStore", key: Key, updates: Sequence[Update]) -> None:
        """Send ``updates``: fewer at once after one has failed or was refused."""
        from tunebox.tracking.client import is_refusal

        size = self._piece_sizes.pop(key, len(updates))
        while updates:
            piece, sent = updates[:size], self.runs[key]
            has_piece = sent.having(merged(piece))
            try:
                store.send(sent.run_id, merged(piece))
            except Exception as error:
                size = max(1, len(piece) // 2)
                if not is_refusal(error, self._uri):
                    self._piece_sizes[key] = size
                    raise
                if store.is_deleted(sent.run_id):
                    self._leave_out(key, sent)
                    return
                if len(piece) > 1:
                    continue
                reason = public_reason(error, self._uri)
                self.refusals.append(f"{key or 'the search'}: {reason}")
            else:
                self._count(len(piece))
                size *= 2
            self._note_sent(key, has_piece)
            updates = updates[len(piece) :]

    def _note_sent(self, key: Key, sent: SentRun) -> None:
        self.runs[key] = sent
        if key is None and sent.files != self._cursor.files:
            self._cursor.files = sent.files
            self._cursor.save()

    def _count(self, num_updates: int) -> None:
        """Note that MLflow has taken updates."""
        self.error = None
        with self._changed:
            self.num_delivered += num_updates
            self._last_delivery = time.monotonic()
            self._changed.notify_all()

    def _leave_out(self, key: Key, sent: SentRun) -> None:
        self.refusals.append(f"{key or 'the search'}: its run {sent.run_id} was deleted")
        self.runs[key] = replace(sent, left_out=True)

    def _note(self, error: Exception) -> None:
        self.error = public_reason(error, self._uri)
        self._has_lost_runs |= isinstance(error, LostRunError)
        if not self._has_warned and not self._has_lost_runs:
            # once: the end of a search says what came of it
            self._has_warned = True
            line = f"MLflow at {public_uri(self._uri)}: {self.error}; trying again"
            _log.warning("%s", printable(line))


def _without_models(updates: Sequence[Update]) -> list[Update]:
    return [update for update in updates if not update.changes_model]


def _side_by_side(work: Callable[[Key], bool], keys: Sequence[Key]) -> list[bool]:
    """Return what ``work`` returns for each key; each but the last in a thread of its own."""
    results: dict[Key, bool] = {}

    def note(key: Key) -> None:
        results[key] = work(key)

    # daemons, as the thread that waits for them
    threads = [threading.Thread(target=note, args=(key,), daemon=True) for key in keys[:-1]]
    for thread in threads:
        thread.start()
    note(keys[-1])
    for thread in threads:
        thread.join()
    return [results[key] for key in keys]
