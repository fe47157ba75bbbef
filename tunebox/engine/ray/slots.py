"""How many trials run at once in Ray Tune."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tunebox.engine.nodes.memory import NodeMemory, limit_by_measured


@dataclass
class Slots:
    """How many trials may run at once, and which do.

    Attributes:
        limit: The largest number of trials; None for any.
        active: Ray's ids of the trials that run or wait to start again.
        nodes: Memory of all nodes before trials ran; empty if it is not known.
        need: Bytes that a trial takes, as far as was measured.
    """

    limit: int | None
    active: set[str] = field(default_factory=set)
    nodes: Sequence[NodeMemory] = ()
    need: int = 0

    @property
    def are_taken(self) -> bool:
        """Whether no further trial may start."""
        return self.limit is not None and len(self.active) >= self.limit

    def lower(self) -> bool:
        """Allow one trial less than run now, but one; return whether that changes anything."""
        lowered = max(1, len(self.active) - 1)
        if self.limit is not None and self.limit <= lowered:
            return False
        self.limit = lowered
        return True

    def fit(self, need: int, num_trials: int) -> str | None:
        """Allow as many trials as have room, and return a line if that is fewer than before.

        Args:
            need: Bytes that a trial was measured to take.
            num_trials: How many trials the search has.
        """
        if need <= self.need or not self.nodes:
            return None
        self.need = need
        self.limit, line = limit_by_measured(need, self.nodes, self.limit, num_trials)
        return line
