"""Retry while the head cannot be reached."""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from tunebox.remote.head import HeadUnreachable

_MAX_PAUSE = 15.0  # seconds
_MAX_SECONDS = 1800.0  # without a connection before giving up

_Answer = TypeVar("_Answer")


class Retry:
    """Retries with exponential back-off while the head is unreachable, for half an hour at most.

    Notes a line when the connection is lost and when it is back. The search on the cluster does
    not depend on the connection.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self.note = note
        self._pauses = _growing()
        self._lost_at: float | None = None

    def call(self, action: Callable[[], _Answer]) -> _Answer:
        """Return the result of ``action``, retrying until it reaches the head.

        Raises:
            HeadUnreachable: The head has been unreachable for too long.
        """
        while True:
            try:
                answer = action()
            except HeadUnreachable as error:
                self.wait(error)
            else:
                self.succeeded()
                return answer

    def wait(self, error: HeadUnreachable) -> None:
        """Sleep before the next try, after the failure ``error``.

        Raises:
            HeadUnreachable: The head has been unreachable for too long.
        """
        now = time.monotonic()
        if self._lost_at is None:
            self._lost_at = now
            self.note("connection lost; the cluster goes on, trying to reach it again")
        if now - self._lost_at > _MAX_SECONDS:
            raise error
        time.sleep(next(self._pauses))

    def succeeded(self) -> None:
        """Reset the back-off: the head has answered."""
        if self._lost_at is not None:
            seconds = time.monotonic() - self._lost_at
            self.note(f"connected again after {seconds:.0f} seconds")
        self._lost_at = None
        self._pauses = _growing()


def _growing() -> Iterator[float]:
    yield from itertools.takewhile(
        lambda pause: pause < _MAX_PAUSE, (0.5 * 2.0**n for n in itertools.count())
    )
    yield from itertools.repeat(_MAX_PAUSE)
