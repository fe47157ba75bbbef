"""The command line as the tests call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ended:
    code: int
    stdout: str
    stderr: str


Run = Callable[..., Ended]
