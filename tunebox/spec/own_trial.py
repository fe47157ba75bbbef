"""``trial: loop.py:train`` in a search file: the training loop is a user-defined function.

The function is a generator that yields its metrics after each epoch::

    def train(config, *, seed, max_epochs, device, checkpoint):
        ...
        yield {"accuracy": 0.9, "loss": 0.3}

Only the argument ``config`` is required. This module imports no torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from pydantic import Field, PrivateAttr, ValidationInfo, model_validator
from typing_extensions import Self

from tunebox.parts.code import CodeFinder, OwnCodeError, is_reference
from tunebox.parts.own import location
from tunebox.settings import Settings

SUPPLIED = ("config", "seed", "max_epochs", "device", "checkpoint")
_SHAPE = "def train(config, *, seed, max_epochs, device)"
_PLAIN = bool | int | float | str | None

Loop = Callable[..., Iterator[Mapping[str, float]]]


class OwnTrialConfig(Settings):
    """A trial whose training loop is the user's own.

    Attributes:
        trial: Reference to the loop.
        config: The argument ``config`` of the loop.
        data: None, as the loop loads its own data.
        own_seed: None, as the seed is always that of the search.
    """

    trial: str
    config: dict[str, Any] = Field(default_factory=dict)
    data: ClassVar[None] = None
    own_seed: ClassVar[None] = None
    _loop: Loop = PrivateAttr()

    @property
    def loop(self) -> Loop:
        """The generator function."""
        return self._loop

    @property
    def arguments(self) -> frozenset[str]:
        """Those of `SUPPLIED` that the loop takes."""
        return frozenset(_arguments(self.trial, self._loop))

    @model_validator(mode="after")
    def _is_plain_and_has_a_loop(self, info: ValidationInfo) -> Self:
        _check_plain(self.config, "config")
        finder = info.context if isinstance(info.context, CodeFinder) else CodeFinder()
        self._loop = find_loop(self.trial, finder)
        return self


def find_loop(reference: str, finder: CodeFinder) -> Loop:
    """Return the training loop that ``reference`` names.

    Raises:
        ValueError: It does not exist or has the wrong arguments; the message starts with the path.
    """
    if not is_reference(reference):
        raise ValueError(
            f"trial: got {reference!r}; name a function: file.py:name or package.module:name"
        )
    try:
        code = finder.find(reference)
    except OwnCodeError as error:
        raise ValueError(f"trial: {error}") from error
    if not inspect.isgeneratorfunction(code):
        raise ValueError(
            f"trial: {location(code)}: is no generator function; "
            f"write {_SHAPE} and yield {{metric: value}} after each epoch"
        )
    _arguments(reference, code)
    loop: Loop = code
    return loop


def _arguments(reference: str, code: Loop) -> list[str]:
    """Return those of `SUPPLIED` that ``code`` takes."""
    parameters = inspect.signature(code).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    takes_all = inspect.Parameter.VAR_KEYWORD in kinds
    many = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for name, parameter in parameters.items():
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            raise _unfit(code, f"{name!r} cannot be given by its name; take the / away")
        is_given = name in SUPPLIED or parameter.kind in many
        if not is_given and parameter.default is parameter.empty:
            raise _unfit(
                code,
                f"its argument {name!r} is none of {', '.join(SUPPLIED)}, which tunebox gives; "
                "put settings into config",
            )
    if "config" not in parameters and not takes_all:
        raise _unfit(code, f"has no argument config; write {_SHAPE}")
    return [name for name in SUPPLIED if name in parameters or takes_all]


def _unfit(code: Loop, message: str) -> ValueError:
    return ValueError(f"trial: {location(code)}: {message}")


def _check_plain(node: Any, path: str) -> None:
    """Raise ValueError for values that YAML cannot hold, and for keys that contain a slash."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if "/" in str(key):
                raise ValueError(f"{path}: the key {key!r} has a / in it; write a mapping for it")
            _check_plain(value, f"{path}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            _check_plain(value, f"{path}/{index}")
    elif not isinstance(node, _PLAIN):
        raise ValueError(f"{path}: got {node!r}; needs a number, a word, a list or a mapping")
