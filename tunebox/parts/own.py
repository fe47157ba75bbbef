"""Settings of a user-defined part, made from the arguments of its function or class."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import Field, create_model

from tunebox.errors import first_line
from tunebox.parts.code import CodeFinder, OwnCodeError
from tunebox.parts.part import Part

_PLAIN = (bool, int, float, str, type(None))
_Part = TypeVar("_Part", bound=Part)


def own_part(group: type[_Part], kind: str, finder: CodeFinder) -> type[_Part]:
    """Return the settings of the code that ``kind`` refers to, as a part of ``group``.

    Each argument of the function or class is a setting, except those that tunebox supplies.
    Annotations become the checks of the settings, and defaults their defaults.

    Raises:
        OwnCodeError: The code cannot be imported, or an argument cannot be a setting.
    """
    code = finder.find(kind)
    if isinstance(code, type) and issubclass(code, group) and code is not group:
        return code  # a settings class, like the built-in parts
    if not callable(code):
        raise OwnCodeError(f"{kind} is {code!r}; a {group.group} is a function or a class")
    return _part(group, kind, code)


_MADE: dict[tuple[type[Part], str, int], tuple[Any, type[Any]]] = {}


def _part(group: type[_Part], kind: str, code: Callable[..., Any]) -> type[_Part]:
    """Return the same class for the same code: settings of the same part are equal."""
    key = (group, kind, id(code))
    if key not in _MADE:
        fields = _fields(group, code)
        name = getattr(code, "__name__", "Own")
        base, doc = group.of_own_code(), inspect.getdoc(code) or ""
        made = cast(
            Any,
            create_model(
                name, __base__=base, __module__=__name__, __doc__=doc, kind=(str, kind), **fields
            ),
        )
        made.code = staticmethod(code)
        made.arguments = tuple(fields)
        made.needs = tuple(name for name in _parameters(code) if name in group.supplied)
        _MADE[key] = (code, made)  # keeps the code alive, so that its id is not reused
    return _MADE[key][1]


def location(code: Any) -> str:
    """Return the file and the first line of a function or class, for messages."""
    try:
        file = inspect.getsourcefile(code)
        line = inspect.getsourcelines(code)[1]
    except (OSError, TypeError):
        return getattr(code, "__qualname__", repr(code))
    return f"{file}:{line}: {code.__qualname__}"


def _fields(group: type[Part], code: Callable[..., Any]) -> dict[str, Any]:
    # a field would replace what the classes of the part define under the same name
    parts = (base for base in group.of_own_code().__mro__ if issubclass(base, Part))
    taken = {*group.of_own_code().model_fields, *(name for base in parts for name in vars(base))}
    fields: dict[str, Any] = {}
    hints = _hints(code)
    for name, parameter in _parameters(code).items():
        if name in group.supplied:
            continue
        if name in taken or name.startswith("_"):
            raise OwnCodeError(f"{location(code)}: {name!r} is a setting of tunebox; rename it")
        annotation = hints.get(name, parameter.annotation)
        if annotation is parameter.empty:
            annotation = type(parameter.default)
        plain = _plain(annotation)
        if plain is not None and parameter.default is parameter.empty:
            fields[name] = (plain, ...)
        elif plain is not None:
            fields[name] = (plain, Field(default=parameter.default, validate_default=True))
        elif parameter.default is parameter.empty:
            raise OwnCodeError(
                f"{location(code)}: {_trouble(group, name, parameter)}; give it a type such as "
                f"{name}: float, or a default"
            )
    return fields


def _trouble(group: type[Part], name: str, parameter: inspect.Parameter) -> str:
    known = f"is none of {', '.join(group.supplied)}, which tunebox supplies, and "
    if parameter.annotation is parameter.empty:
        return f"the argument {name!r} {known}has neither annotation nor default"
    return f"the argument {name!r} {known}is no number, word or list of these"


def _parameters(code: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        parameters = inspect.signature(code).parameters.values()
    except (TypeError, ValueError) as error:
        raise OwnCodeError(f"{location(code)}: its arguments are unknown") from error
    many = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {parameter.name: parameter for parameter in parameters if parameter.kind not in many}


def _hints(code: Any) -> dict[str, Any]:
    function = vars(code).get("__init__", object.__init__) if isinstance(code, type) else code
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:
        raise OwnCodeError(
            f"{location(code)}: an annotation cannot be read ({first_line(error)})"
        ) from error


def _plain(annotation: Any) -> Any:
    """Return the part of ``annotation`` that a search file can express, None if there is none."""
    if annotation in _PLAIN:
        return annotation
    origin = get_origin(annotation)
    if origin is Literal:
        return annotation
    if origin is Annotated:
        inner, *extras = get_args(annotation)
        plain = _plain(inner)
        return None if plain is None else Annotated[(plain, *extras)]
    if origin in (Union, types.UnionType):
        plain = [found for member in get_args(annotation) if (found := _plain(member)) is not None]
        plain = [found for found in plain if found is not type(None)] and plain
        return Union[tuple(plain)] if plain else None  # noqa: UP007
    if origin in (list, tuple) and all(_plain(m) for m in get_args(annotation) if m is not ...):
        return annotation
    return None
