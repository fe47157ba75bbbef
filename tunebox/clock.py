"""The time, which goes on evenly in a process while somebody sets the clock of its host."""

import time

# On Linux CLOCK_MONOTONIC stands still while the host is suspended, on macOS it does not.
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_BOOT = time.time() - time.clock_gettime(_SINCE_BOOT)  # as the clock of the host says now


def now() -> float:
    """Return the seconds since 1970, from the clock of the host as this process found it.

    A clock that is set (by hand, by NTP, with a virtual machine that is restored) would put events
    out of their order, and make durations negative or too long.
    """
    return _BOOT + time.clock_gettime(_SINCE_BOOT)
