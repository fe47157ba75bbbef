"""Runs tunebox with a clock that somebody sets while it runs.

    SHIFTED_CLOCK=file python -m benchmarks.shifted_clock search ...

Python code of the process (tunebox, Ray Tune, Optuna, MLflow's client) gets the time of the system
plus the seconds that the file has at that moment. C++ code of Ray, and other processes such as the
workers and MLflow's server, go on with the clock of the system, as other hosts would.
"""

import os
import runpy
import time
from pathlib import Path

VARIABLE = "SHIFTED_CLOCK"
_time, _time_ns = time.time, time.time_ns


def shift() -> float:
    """Return by how many seconds the clock is wrong."""
    try:
        return float(Path(os.environ[VARIABLE]).read_text(encoding="ascii"))
    except (KeyError, OSError, ValueError):  # no file yet, or it is being written
        return 0.0


def shifted_time() -> float:
    """Stand for `time.time`."""
    return _time() + shift()


def shifted_time_ns() -> int:
    """Stand for `time.time_ns`."""
    return _time_ns() + int(shift() * 1e9)


def main() -> None:
    time.time, time.time_ns = shifted_time, shifted_time_ns
    runpy.run_module("tunebox", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    # of the imported module: what Ray pickles must be found by its name
    from benchmarks import shifted_clock

    shifted_clock.main()
