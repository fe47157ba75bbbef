"""Sending never holds up the search, and goes on as fast as a store allows."""

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from tests.records.make_log import START
from tests.tracking.delivering import BY_CALLS, PARENT, Deliver, child
from tunebox.decisions.trials import Report
from tunebox.records.search_folder import SearchFolder
from tunebox.tracking import delivery
from tunebox.tracking.cursor import Cursor
from tunebox.tracking.delivery import Delivery
from tunebox.tracking.runs import SentRun


@BY_CALLS
def test_no_call_waits_for_mlflow(
    uri: str, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    create_run = MlflowClient.create_run

    def slow(self: MlflowClient, *args: Any, **kwargs: Any) -> Any:
        release.wait(30)
        return create_run(self, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, "create_run", slow)
    start = time.monotonic()
    made = deliver(uri, *(child(f"t{number}", 1) for number in range(200)))
    assert time.monotonic() - start < 1.0
    monkeypatch.setattr(delivery, "END_SECONDS", 0.2)
    made.close()
    assert made.num_waiting >= 401  # no progress: all are told as undelivered
    assert time.monotonic() - start < 2.0
    release.set()
    assert made._thread is not None
    made._thread.join(30)  # it must not take part in the next test


class StrainedStore:
    """Takes little at once, and notes what it took."""

    rows = None
    calls_at_once = 1
    is_lost = False

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken: list[int] = []
        self.calls = 0

    def announce(self, keys: list[str | None]) -> None:
        assert not keys

    def send(self, run_id: str, update: Any) -> None:
        self.calls += 1
        if len(update.points) > self.most:
            raise ConnectionError("too much at once")
        self.taken += [point.epoch for point in update.points]


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_what_fails_is_sent_in_smaller_pieces(
    folder: SearchFolder, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_FIRST_PAUSE", 0.0)
    monkeypatch.setattr(delivery, "_TRIES", 10)
    made, store = Delivery(Cursor(folder, ""), "http://host", Path()), StrainedStore(most)
    made.runs[None] = SentRun("run")
    monkeypatch.setattr(made, "_open_store", lambda: store)
    points = [Report(step, {"m": 1.0}, START + step) for step in range(1, 100)]
    made.put(None, replace(PARENT, points=points, num_points=99))
    made.deliver_now()
    assert made.num_waiting == 0
    assert store.taken == list(range(1, 100))
    assert made.error is None
    assert store.calls <= (1 if most == 1000 else 300)


class SlowStore(StrainedStore):
    """Takes a twentieth of a second for each call, and is gone after ten."""

    def send(self, run_id: str, update: Any) -> None:
        if self.calls >= 10:
            raise ConnectionError("gone")
        time.sleep(0.05)
        super().send(run_id, update)


def test_what_is_left_says_how_long_it_will_take(
    folder: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_TRIES", 1)
    made, store = Delivery(Cursor(folder, ""), "http://host", Path()), SlowStore(1000)
    monkeypatch.setattr(made, "_open_store", lambda: store)
    assert made.backlog().seconds is None
    for number in range(30):  # each lacks its parameters and a report
        made.runs[f"t{number}"] = SentRun("run", tags={"tunebox.trial_id": f"t{number}"})
        made.put(f"t{number}", child(f"t{number}", 1))
    made.deliver_now()
    left = made.backlog()
    assert (left.num_updates, left.num_trials) == (2 * 20, 20)
    assert left.seconds == pytest.approx(20 * 0.05, rel=0.3)  # two updates a call


def test_the_further_behind_the_fewer_pauses(folder: SearchFolder) -> None:
    made = Delivery(Cursor(folder, ""), "http://host", Path())
    assert made._pause_after(0.1) == 10.0
    pauses = []
    for number in range(300):
        made.put(str(number), child(str(number)))
        pauses.append(made._pause_after(5.0))
    assert pauses == sorted(pauses, reverse=True)
    assert pauses[0] == pytest.approx(5.0 * 7 / 3, rel=0.02)
    assert pauses[-1] == 0.0
