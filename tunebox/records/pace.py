"""How often something is done again whose cost grows with the search."""

import time
from collections.abc import Callable


class Pace:
    """Lets work be done again after a pause that keeps it to a small part of the time."""

    def __init__(
        self,
        min_pause: float,
        max_share: float = 0.02,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Be ready at once.

        Args:
            min_pause: Seconds between the end of one round and the start of the next.
            max_share: Of the time that the rounds may take, in (0, 1].
            clock: Seconds.
        """
        self._min_pause = min_pause
        self._max_share = max_share
        self._clock = clock
        self._next = clock()

    @property
    def is_due(self) -> bool:
        """Whether the pause is over."""
        return self.seconds_left == 0

    @property
    def seconds_left(self) -> float:
        """Of the pause; 0 when it is over."""
        return max(0.0, self._next - self._clock())

    def run(self, work: Callable[[], None]) -> None:
        """Do ``work`` now; the next pause is as long as it needs to be after this one."""
        start = self._clock()
        work()
        end = self._clock()
        self._next = end + max(self._min_pause, (end - start) / self._max_share)
