"""Base class of parts: settings that build a component, chosen with ``kind`` in a search file.

The alternatives for one ``kind`` are a group, such as models, noises or loss terms. The base class
of a group names the package of its parts, with one file for each. A subclass in that package with
``kind: Literal["name"]`` is registered automatically. ``kind: my_package.my_module:Name`` and
``kind: parts.py:Name`` are user-defined parts, see `tunebox.parts.own`.

Neither this module nor the files of parts import torch at the top, because search files are checked
without it. The ``build`` methods import it.
"""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any, ClassVar, get_args

from pydantic import BaseModel, GetCoreSchemaHandler, ValidationError, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema
from typing_extensions import LiteralString, Self

from tunebox.parts.code import CodeFinder, OwnCodeError, is_reference
from tunebox.settings import Settings


class Part(Settings):
    """Settings of a part, which its group knows how to build.

    Attributes:
        kind: Name of the part within its group, or a reference to user code.
        group: Name of the group; set by the base class of a group.
        package: Package whose modules hold the parts of the group.
        supplied: Names of the arguments that tunebox passes to user code; all other arguments are
            settings.
        default_kind: The kind if the search file gives none; None if it must give one.
        code: The function or class of a user-defined part, None for a built-in part.
        arguments: Arguments of ``code`` that are settings.
        needs: Arguments of ``code`` that tunebox supplies.
    """

    kind: str
    group: ClassVar[str]
    package: ClassVar[str]
    supplied: ClassVar[tuple[str, ...]] = ()
    default_kind: ClassVar[str | None] = None
    code: ClassVar[Callable[..., Any] | None] = None
    arguments: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Let a field annotated with a group accept every part of the group."""
        if "group" not in cls.__dict__:
            return handler(source)
        return core_schema.with_info_plain_validator_function(
            cls._choose,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda part: part.model_dump()
            ),
        )

    @classmethod
    def kinds(cls) -> dict[str, type[Self]]:
        """Return the parts of the group that come with tunebox, by kind, in alphabetical order."""
        return dict(_kinds(cls))

    @classmethod
    def of_own_code(cls) -> type[Self]:
        """Return the base class for user-defined parts."""
        return cls

    def call(self, **supplied: Any) -> Any:
        """Call ``code`` with its settings and with those of ``supplied`` that it needs."""
        assert self.code is not None
        settings = {name: getattr(self, name) for name in self.arguments}
        return self.code(**settings, **{name: supplied[name] for name in self.needs})

    @classmethod
    def _choose(cls, value: Any, info: ValidationInfo) -> Self:
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise PydanticCustomError("dict_type", "needs settings")
        kind = value.get("kind", cls.default_kind)
        if kind is None:
            choices = ", ".join(cls.kinds())
            raise _error("missing_kind", f"is missing; add one of {choices}", kind)
        part = cls._find(kind, info.context)
        return part.model_validate({**value, "kind": kind}, context=info.context)

    @classmethod
    def _find(cls, kind: Any, context: Any) -> type[Self]:
        if is_reference(kind):
            from tunebox.parts.own import own_part

            finder = context if isinstance(context, CodeFinder) else CodeFinder()
            try:
                return own_part(cls, kind, finder)
            except OwnCodeError as error:
                raise _error("own_code", str(error), kind) from error
        known = _kinds(cls)
        if isinstance(kind, str) and kind in known:
            return known[kind]
        raise _error("unknown_kind", _unknown_kind(kind, list(known)), kind)


@cache
def _kinds(group: type[Part]) -> dict[str, type[Any]]:
    package = import_module(group.package)
    for module in pkgutil.iter_modules(package.__path__):
        import_module(f"{group.package}.{module.name}")
    found = {
        kind: part
        for part in _subclasses(group)
        if part.__module__.startswith(f"{group.package}.")
        for kind in get_args(part.model_fields["kind"].annotation)
    }
    return dict(sorted(found.items()))


def _subclasses(part: type[Part]) -> list[type[Part]]:
    return [found for below in part.__subclasses__() for found in (below, *_subclasses(below))]


def _unknown_kind(kind: Any, known: list[str]) -> str:
    near = difflib.get_close_matches(str(kind), known, n=1)
    choice = f"choose from {', '.join(known)}, or " if known else ""
    guess = f"did you mean {near[0]}? " if near else ""
    return (
        f"got {kind!r}; {guess}{choice}name code of your own: file.py:Name or package.module:Name"
    )


def _error(type_: LiteralString, message: str, kind: Any) -> ValidationError:
    """Return an error at the key ``kind``."""
    error = PydanticCustomError(type_, "{message}", {"message": message})
    return ValidationError.from_exception_data(
        "kind", [{"type": error, "loc": ("kind",), "input": kind}]
    )
