"""The interface of a run of a trial. Imports no torch."""

from __future__ import annotations

from typing import Any, Protocol


class RunIsOver(Exception):
    """The training loop ended the run before ``max_epochs``."""


class Run(Protocol):
    """A trial that is trained epoch by epoch and can be saved and resumed.

    Attributes:
        epoch: Number of completed epochs.
        max_epochs: Largest number of epochs.
    """

    epoch: int
    max_epochs: int

    def run_epoch(self) -> dict[str, float]:
        """Train for one epoch and return its metrics.

        Raises:
            RunIsOver: There is no further epoch.
        """

    def weights(self) -> dict[str, Any]:
        """Return what an export keeps, as tensors and plain data; may be empty."""

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs, as tensors and plain data."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the state of another run."""
