"""Rate limit for repeated work whose cost grows with the search."""

import time
from collections.abc import Callable


class RateLimit:
    """Spaces repeated work so that it takes no more than a small fraction of the time."""

    def __init__(
        self,
        min_pause: float,
        max_share: float = 0.02,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Allow the first round at once.

        Args:
            min_pause: Least seconds between the end of one round and the start of the next.
            max_share: Largest fraction of the time that the rounds may take, in (0, 1].
            clock: Returns the time in seconds.
        """
        self._min_pause = min_pause
        self._max_share = max_share
        self._clock = clock
        self._next = clock()

    @property
    def is_due(self) -> bool:
        """Whether the next round may start."""
        return self.seconds_left == 0

    @property
    def seconds_left(self) -> float:
        """Seconds until the next round may start; 0 if it may start now."""
        return max(0.0, self._next - self._clock())

    def run(self, work: Callable[[], None]) -> None:
        """Run ``work`` now, and set the next pause by how long it took."""
        start = self._clock()
        work()
        end = self._clock()
        self._next = end + max(self._min_pause, (end - start) / self._max_share)
