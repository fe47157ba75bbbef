"""User-defined loss terms: functions, and classes with ``forward``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from tunebox.losses.base import LossTerm
from tunebox.losses.context import StepContext
from tunebox.losses.settings import OF_STEP

if TYPE_CHECKING:
    from tunebox.losses.settings import OwnTermSettings, TermContext, Views


def own_term(settings: OwnTermSettings, context: TermContext) -> LossTerm:
    """Return the term of ``settings``; see `OwnTermSettings.build`.

    Raises:
        ValueError: A class is not a torch.nn.Module.
    """
    if not isinstance(settings.code, type):
        sizes = {name: size for name, size in vars(context).items() if name in settings.needs}
        needs = tuple(name for name in settings.needs if name not in sizes)
        return OwnTerm(lambda **given: settings.call(**given, **sizes), needs, settings.views)
    made = settings.call(**vars(context))
    if not isinstance(made, nn.Module):
        raise ValueError(f"a class of a loss term is a torch.nn.Module, got {type(made).__name__}")
    return OwnTerm(made, _needs(made), settings.views)


def _needs(module: nn.Module) -> tuple[str, ...]:
    """Return the arguments of ``forward`` that must be supplied.

    Raises:
        ValueError: One of them is nothing that a term can get.
    """
    many = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = []
    for name, parameter in inspect.signature(module.forward).parameters.items():
        if parameter.kind in many or (parameter.default is not parameter.empty):
            continue
        if name not in OF_STEP:
            raise ValueError(f"forward has the argument {name!r}; it can get {', '.join(OF_STEP)}")
        needed.append(name)
    return tuple(needed)


class OwnTerm(LossTerm):
    """A user-defined loss term.

    Args:
        code: Takes the arguments ``needs`` and returns a scalar. If it is a module, its parameters
            and buffers belong to the term.
        needs: Names of the arguments, out of ``TermSettings.supplied``.
        views: The views that it is computed on; the loss is the mean over them.
    """

    def __init__(self, code: Callable[..., Any], needs: tuple[str, ...], views: Views) -> None:
        super().__init__()
        self.code = code
        self._needs = needs
        self._views = views

    def forward(self, step: StepContext) -> Tensor:
        """Return a scalar."""
        if not {"features", "logits", "images"} & set(self._needs):
            return self._value(step, self._views[0])
        values = [self._value(step, view) for view in self._views]
        return values[0] if len(values) == 1 else (values[0] + values[1]) / 2

    def _value(self, step: StepContext, view: str) -> Tensor:
        supplied = {
            "step": step,
            "features": step.views[view].features,
            "logits": step.views[view].logits,
            "images": step.images[view],
            "labels": step.labels,
            "indices": step.indices,
            "progress": step.progress,
            "generator": step.generator,
            "model": step.model,
        }
        value: Tensor = self.code(**{name: supplied[name] for name in self._needs})
        return value
