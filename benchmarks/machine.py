"""What the CPUs of this machine do."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

_LOOK_PAUSE = 0.25  # seconds


def busy_seconds() -> float:
    """Return how long this machine's CPUs were busy since it started, all of them added up."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    ticks = [int(field) for field in fields[:8]]
    idle = ticks[3] + ticks[4]  # idle, and waiting for a disk
    return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")


@contextmanager
def family_clock() -> Iterator[Callable[[], float]]:
    """Give a function that returns the CPU time of this process and of all that it starts.

    Work of other programs is not counted. A thread looks at the processes several times a second:
    what one does between the last look and its end is missed.
    """
    seconds: dict[tuple[int, float], float] = {}
    is_over = threading.Event()
    lock = threading.Lock()

    def look() -> float:
        this = psutil.Process()
        with lock:
            for process in (this, *this.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    times = process.cpu_times()
                    seconds[process.pid, process.create_time()] = times.user + times.system
            return sum(seconds.values())

    def watch() -> None:
        while not is_over.wait(_LOOK_PAUSE):
            look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield look
    finally:
        is_over.set()
        thread.join()
