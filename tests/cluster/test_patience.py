from __future__ import annotations

import io
from dataclasses import dataclass, field

import pytest
from rich.console import Console

from tunebox.cluster.head import HeadAway
from tunebox.cluster.patience import Patience


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
    monkeypatch.setattr("tunebox.cluster.patience.time", clock)
    return clock


class Away:
    """An action that does not reach the head for the first tries."""

    def __init__(self, tries: float) -> None:
        self.left = tries

    def __call__(self) -> str:
        if self.left > 0:
            self.left -= 1
            raise HeadAway("away")
        return "answer"


def make_patience() -> tuple[Patience, io.StringIO]:
    printed = io.StringIO()
    return Patience(Console(file=printed, width=200)), printed


def test_pauses_grow_and_the_console_hears_of_both_ends(clock: Clock) -> None:
    patience, printed = make_patience()
    assert patience.until_it_works(Away(7)) == "answer"
    assert clock.pauses == [0.5, 1, 2, 4, 8, 15, 15]
    assert printed.getvalue().splitlines() == [
        "connection lost; the cluster goes on, trying to reach it again",
        "connected again after 46 seconds",
    ]
    assert patience.until_it_works(Away(1)) == "answer"
    assert clock.pauses[-1] == 0.5


def test_what_works_at_once_is_not_spoken_of(clock: Clock) -> None:
    patience, printed = make_patience()
    assert patience.until_it_works(Away(0)) == "answer"
    assert (clock.pauses, printed.getvalue()) == ([], "")


def test_it_gives_up_after_half_an_hour(clock: Clock) -> None:
    patience, _ = make_patience()
    with pytest.raises(HeadAway):
        patience.until_it_works(Away(float("inf")))
    assert 1800 < clock.now < 1820
