"""What is tried again while the head cannot be reached."""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from rich.console import Console

from tunebox.cluster.head import HeadAway

_LONGEST_PAUSE = 15.0  # seconds
_GIVE_UP_SECONDS = 1800.0

_Answer = TypeVar("_Answer")


class Patience:
    """Tries again with growing pauses while the head is away, for half an hour at most.

    What runs on the cluster does not notice; the console is told when the connection is lost and
    when it is back.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pauses = _growing()
        self._away_since: float | None = None

    def until_it_works(self, action: Callable[[], _Answer]) -> _Answer:
        """Return what ``action`` returns once it reaches the head.

        Raises:
            HeadAway: The head has been away for too long.
        """
        while True:
            try:
                answer = action()
            except HeadAway as error:
                self.lost(error)
            else:
                self.reached()
                return answer

    def lost(self, error: HeadAway) -> None:
        """Wait before the next try.

        Raises:
            HeadAway: The head has been away for too long.
        """
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
            self._console.print("connection lost; the cluster goes on, trying to reach it again")
        if now - self._away_since > _GIVE_UP_SECONDS:
            raise error
        time.sleep(next(self._pauses))

    def reached(self) -> None:
        """Note that the head has answered."""
        if self._away_since is not None:
            away = time.monotonic() - self._away_since
            self._console.print(f"connected again after {away:.0f} seconds")
        self._away_since = None
        self._pauses = _growing()


def _growing() -> Iterator[float]:
    yield from itertools.takewhile(
        lambda pause: pause < _LONGEST_PAUSE, (0.5 * 2.0**n for n in itertools.count())
    )
    yield from itertools.repeat(_LONGEST_PAUSE)
