from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tunebox.remote.head import HeadUnreachable
from tunebox.remote.retry import Retry


@dataclass
class Clock:
    now: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("tunebox.remote.retry.time", clock)
    return clock


class Away:
    """An action that does not reach the head for the first tries."""

    def __init__(self, tries: float) -> None:
        self.left = tries

    def __call__(self) -> str:
        if self.left > 0:
            self.left -= 1
            raise HeadUnreachable("away")
        return "answer"


def make_retry() -> tuple[Retry, list[str]]:
    lines: list[str] = []
    return Retry(lines.append), lines


def test_pauses_grow_and_loss_and_return_of_the_connection_are_noted(clock: Clock) -> None:
    retry, lines = make_retry()
    assert retry.call(Away(7)) == "answer"
    assert clock.pauses == [0.5, 1, 2, 4, 8, 15, 15]
    assert lines == [
        "connection lost; the cluster goes on, trying to reach it again",
        "connected again after 46 seconds",
    ]
    assert retry.call(Away(1)) == "answer"
    assert clock.pauses[-1] == 0.5


def test_nothing_is_noted_if_the_first_try_succeeds(clock: Clock) -> None:
    retry, lines = make_retry()
    assert retry.call(Away(0)) == "answer"
    assert (clock.pauses, lines) == ([], [])


def test_it_gives_up_after_half_an_hour(clock: Clock) -> None:
    retry, _ = make_retry()
    with pytest.raises(HeadUnreachable):
        retry.call(Away(float("inf")))
    assert 1800 < clock.now < 1820
