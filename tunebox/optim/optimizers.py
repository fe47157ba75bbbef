"""The optimizers of torch that search files name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, model_validator
from typing_extensions import Self

from tunebox.optim.settings import OptimizerSettings
from tunebox.settings import Usual

if TYPE_CHECKING:
    import torch

Decay: TypeAlias = Annotated[float, Field(ge=0, le=1000), Usual(2, "it outweighs the loss")]


class SgdSettings(OptimizerSettings):
    """Stochastic gradient descent."""

    kind: Literal["sgd"]
    lr: Annotated[float, Usual(10, "trainings diverge")] = Field(gt=0, le=1e6)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = True
    weight_decay: Decay = 5e-4

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs momentum above 0: raise momentum, or nesterov: false")
        return self

    def build(self, groups: list[dict[str, Any]], *, fused: bool) -> torch.optim.Optimizer:
        """Return torch's SGD."""
        import torch

        return torch.optim.SGD(
            groups,
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            fused=fused,
        )


class AdamWSettings(OptimizerSettings):
    """Adam with decoupled weight decay."""

    kind: Literal["adamw"]
    lr: Annotated[float, Usual(1, "trainings diverge")] = Field(gt=0, le=1e6)
    weight_decay: Decay = 0.01

    def build(self, groups: list[dict[str, Any]], *, fused: bool) -> torch.optim.Optimizer:
        """Return torch's AdamW."""
        import torch

        return torch.optim.AdamW(groups, lr=self.lr, weight_decay=self.weight_decay, fused=fused)
