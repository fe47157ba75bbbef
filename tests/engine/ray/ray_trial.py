"""What the adapters look at of Ray Tune's own trials."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class RayTrial:
    """A trial as Ray Tune has it."""

    config: dict[str, Any]
    status: str = "RUNNING"
    error_file: str | None = ""
    pickled_error_file: str | None = None
    max_failures: int = 0
    last_result: dict[str, Any] = field(default_factory=dict)
    resources: Any = None

    def update_resources(self, resources: Any) -> None:
        self.resources = resources


def ray_trial(trial_id: str, **more: Any) -> RayTrial:
    return RayTrial({"trial_id": trial_id}, **more)
