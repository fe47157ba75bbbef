"""A trial whose training loop is the user's own: a generator that yields metrics."""

from __future__ import annotations

import numbers
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from tunebox.errors import TuneboxError
from tunebox.parts.own import location
from tunebox.spec.own_reported import check_metric_name
from tunebox.spec.own_trial import OwnTrialConfig
from tunebox.training.run import RunIsOver

_PLAIN: tuple[type[Any], ...] = (
    bool,
    int,
    float,
    str,
    bytes,
)  # bool before int, whose subclass it is


class LoopError(TuneboxError):
    """A training loop breaks the rules for loops; the message says where it is."""


class Checkpoint:
    """The argument ``checkpoint`` of a loop: keeps a state from which the loop can continue.

    Attributes:
        epoch: Number of epochs completed in the state that `load` returns, 0 if there is none.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self._saved: dict[str, Any] | None = None
        self._newest: dict[str, Any] | None = None  # belongs to the epoch that is yielded next

    def save(self, **state: Any) -> None:
        """Keep ``state`` as the state after the epoch whose metrics are yielded next.

        Args:
            state: Tensors, numbers, strings, and lists and dicts of these, such as a
                ``state_dict``. It is copied; tensors are copied to the CPU.

        Raises:
            TypeError: It contains another type.
        """
        self._newest = _copied(state, "")

    def load(self) -> dict[str, Any] | None:
        """Return a copy of the last saved state, with tensors on the CPU; None if there is none."""
        found = self._saved if self._newest is None else self._newest
        return None if found is None else _copied(found, "")

    def bind(self, epoch: int) -> None:
        """Assign the state saved since the last call to ``epoch``."""
        if self._newest is not None:
            self._saved, self._newest, self.epoch = self._newest, None, epoch

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs."""
        return {"epoch": self.epoch, "saved": self._saved}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the state of another checkpoint."""
        self.epoch, self._saved = int(state["epoch"]), state["saved"]


class OwnTrialRun:
    """One run of a user-defined training loop.

    A resumed run starts the loop again, from its checkpoint if it saved one. Yields up to the epoch
    that the run has already reported are discarded.

    Args:
        config: Settings of the trial.
        seed: The argument ``seed`` of the loop.
        max_epochs: The argument ``max_epochs`` of the loop, and the most epochs it is run for.
        device: The argument ``device`` of the loop, passed as a ``torch.device``.
        needed: Metrics that each report must have.
    """

    def __init__(
        self,
        config: OwnTrialConfig,
        *,
        seed: int,
        max_epochs: int,
        device: torch.device | str,
        needed: Collection[str] = (),
    ) -> None:
        self.epoch = 0
        self.max_epochs = max_epochs
        self._config = config
        self._needed = needed
        self._checkpoint = Checkpoint()
        self._given = {
            "seed": seed,
            "max_epochs": max_epochs,
            "device": torch.device(device),
            "checkpoint": self._checkpoint,
        }
        self._reports: Iterator[Mapping[str, float]] | None = None
        self._train_seconds = 0.0
        self._num_yields = 0  # over all processes, counted on from the checkpoint

    def run_epoch(self) -> dict[str, float]:
        """Run the loop up to its next yield and return the metrics.

        They include ``train_seconds``, the time spent in the loop since epoch 0.

        Raises:
            RunIsOver: The loop has returned.
            LoopError: The loop yields something other than metrics, or lacks a needed one.
            ValueError: ``max_epochs`` epochs are already done.
        """
        if self.epoch >= self.max_epochs:
            raise ValueError(f"the run has had its max_epochs={self.max_epochs} epochs")
        start = time.perf_counter()
        if self._reports is None:
            self._num_yields = self._checkpoint.epoch
            self._reports = self._start()
        while self._num_yields < self.epoch:
            self._next(self._reports)
        metrics = self._checked(self._next(self._reports))
        self.epoch += 1
        self._train_seconds += time.perf_counter() - start
        return {"train_seconds": self._train_seconds, **metrics}

    def weights(self) -> dict[str, Any]:
        """Return the last saved state under the key ``saved``; empty if nothing was saved."""
        saved = self._checkpoint.state_dict()["saved"]
        return {} if saved is None else {"saved": saved}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that :meth:`load_state_dict` needs."""
        return {
            "epoch": self.epoch,
            "train_seconds": self._train_seconds,
            "checkpoint": self._checkpoint.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the state of another run."""
        self._checkpoint.load_state_dict(state["checkpoint"])
        self._train_seconds = state["train_seconds"]
        self.epoch = state["epoch"]

    def _start(self) -> Iterator[Mapping[str, float]]:
        config = _copied(self._config.config, "")  # the loop may change it
        given = {"config": config, **self._given}
        arguments = {name: given[name] for name in given if name in self._config.arguments}
        return self._config.loop(**arguments)

    def _next(self, reports: Iterator[Mapping[str, float]]) -> Any:
        try:
            metrics = next(reports)
        except StopIteration:
            raise self._end() from None
        self._num_yields += 1
        self._checkpoint.bind(self._num_yields)
        return metrics

    def _end(self) -> Exception:
        if self._num_yields == self.epoch > 0:
            return RunIsOver(f"the loop has returned after {self.epoch} epochs")
        if self.epoch == 0:
            return self._trouble("returns before its first yield")
        return self._trouble(
            f"returns after {self._num_yields} epochs although it yielded {self.epoch} before it "
            "was started again; it must do the same each time"
        )

    def _checked(self, metrics: Any) -> dict[str, float]:
        """Check what the loop yielded, and return it as floats by name."""
        if not isinstance(metrics, Mapping):
            raise self._trouble(
                f"yields {_short(metrics)}; yield {{metric: value}} after each epoch"
            )
        checked: dict[str, float] = {}
        for name, value in metrics.items():
            try:
                check_metric_name(name)
            except ValueError as error:
                raise self._trouble(f"yields a wrong name: {error}") from error
            number = _number(value)
            if number is None:
                raise self._trouble(f"yields {name}={_short(value)}, which is no number")
            checked[name] = number
        absent = [name for name in self._needed if name not in (*checked, "train_seconds")]
        if absent:
            raise self._trouble(
                f"yields {', '.join(checked) or 'nothing'} without {absent[0]!r}, by which the "
                "search file judges it"
            )
        return checked

    def _trouble(self, message: str) -> LoopError:
        return LoopError(f"{location(self._config.loop)}: {message}")


def _number(value: Any) -> float | None:
    """Return a number, or a tensor with one, as a float; None for anything else."""
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex():
        return float(value)
    return float(value) if isinstance(value, numbers.Real) else None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}.. ({type(value).__name__})"


def _copied(node: Any, path: str) -> Any:
    """Return a copy that ``torch.load`` reads with ``weights_only=True``, tensors on the CPU."""
    if node is None:
        return None
    if isinstance(node, Tensor):
        return node.detach().to("cpu", copy=True)
    for plain in _PLAIN:
        if isinstance(node, plain):
            return plain(node)
    if isinstance(node, Mapping):
        return {
            _copied(key, path): _copied(value, f"{path}/{key}".lstrip("/"))
            for key, value in node.items()
        }
    if isinstance(node, list | tuple):
        items = [_copied(item, f"{path}/{index}".lstrip("/")) for index, item in enumerate(node)]
        return items if isinstance(node, list) else tuple(items)
    raise TypeError(
        f"checkpoint.save: {path} is a {type(node).__name__}; "
        "save tensors, numbers, words, and lists and dicts of these"
    )
