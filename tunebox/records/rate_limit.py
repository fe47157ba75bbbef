"""Rate limit for repeated work whose cost grows with the search."""

import time
from collections.abc import Callable

_MAX_SHARE = 0.02  # of the time, which the rounds may take


class RateLimit:
    """Spaces repeated work so that it takes no more than a small fraction of the time."""

    def __init__(self, min_pause: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Allow the first round at once.

        Args:
            min_pause: Least seconds between the end of one round and the start of the next.
            clock: Returns the time in seconds.
        """
        self._min_pause = min_pause
        self._clock = clock
        self._next = clock()

    @property
    def is_due(self) -> bool:
        """Whether the next round may start."""
        return self._clock() >= self._next

    def run(self, work: Callable[[], None]) -> None:
        """Run ``work`` now, and set the next pause by how long it took."""
        start = self._clock()
        work()
        end = self._clock()
        self._next = end + max(self._min_pause, (end - start) / _MAX_SHARE)
