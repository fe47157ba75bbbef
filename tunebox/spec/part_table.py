"""The table of all parts, read from their code, for ``tunebox parts`` and the documentation."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tunebox.errors import SearchFileError
from tunebox.metrics.catalogue import COMPUTED, MEASURED
from tunebox.metrics.settings import MetricSettings
from tunebox.parts.code import CodeFinder, OwnCodeError, is_reference
from tunebox.parts.own import own_part
from tunebox.parts.part import Part
from tunebox.spec import trial_config
from tunebox.spec.search_settings import SAMPLERS

_METRICS, _SAMPLERS = "metric", "sampler"
_PLACES = {"losses": "term", "metrics": _METRICS}  # the names that search files use
_BOUNDS = {
    annotated_types.Ge: ">=",
    annotated_types.Gt: ">",
    annotated_types.Le: "<=",
    annotated_types.Lt: "<",
}


@dataclass(frozen=True)
class Argument:
    """A setting of a part."""

    name: str
    type: str  # with its bounds
    default: str  # "required" if there is none
    meaning: str  # the comment beside the field; may be empty


@dataclass(frozen=True)
class PartEntry:
    """A part of a group."""

    group: str
    kind: str
    meaning: str
    arguments: tuple[Argument, ...]


def groups() -> list[str]:
    """Return the groups of parts, in alphabetical order."""
    return sorted({*_groups(), _METRICS, _SAMPLERS})


def entries(which: str | None = None) -> list[PartEntry]:
    """Return all parts, those of a group (``model``), or a single part (``model/resnet18``).

    Raises:
        SearchFileError: There is no such group or part.
    """
    if which is None:
        return [entry for group in groups() for entry in entries(group)]
    group, _, kind = which.partition("/")
    group = _PLACES.get(group, group)
    if group not in groups():
        raise SearchFileError(f"no group of parts {group!r}; choose from {', '.join(groups())}")
    others = {_METRICS: _metrics, _SAMPLERS: _samplers}
    found = others[group]() if group in others else _parts(_groups()[group])
    if not kind:
        return found
    if is_reference(kind) and group == _SAMPLERS:
        raise SearchFileError("a sampler of your own is a function without settings")
    if is_reference(kind):
        try:
            part = MetricSettings if group == _METRICS else _groups()[group]
            return [_entry(kind, own_part(part, kind, CodeFinder()))]
        except OwnCodeError as error:
            raise SearchFileError(str(error)) from error
    named = [entry for entry in found if entry.kind == kind]
    if not named:
        kinds = [entry.kind for entry in found]
        near = difflib.get_close_matches(kind, kinds, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        raise SearchFileError(f"no {group} {kind!r}; {guess}choose from {', '.join(kinds)}")
    return named


def _groups() -> dict[str, type[Part]]:
    assert trial_config  # importing it imports all groups
    return {part.group: part for part in Part.__subclasses__() if "group" in vars(part)}


def _parts(group: type[Part]) -> list[PartEntry]:
    return [_entry(kind, part) for kind, part in group.kinds().items()]


def _entry(kind: str, part: type[Part]) -> PartEntry:
    comments = dict(_comments(part))
    arguments = tuple(
        Argument(name, _type(field), _default(field), comments.get(name, ""))
        for name, field in part.model_fields.items()
        if name != "kind"
    )
    doc = inspect.cleandoc(part.__doc__ or "")
    return PartEntry(part.group, kind, doc.split("\n\n")[0].replace("\n", " "), arguments)


def _metrics() -> list[PartEntry]:
    return _parts(MetricSettings) + [
        PartEntry(_METRICS, metric.name, metric.meaning, ())
        for metric in (*COMPUTED.values(), *MEASURED.values())
    ]


def _samplers() -> list[PartEntry]:
    return [PartEntry(_SAMPLERS, kind, meaning, ()) for kind, meaning in SAMPLERS.items()]


def _comments(part: type[Part]) -> Iterator[tuple[str, str]]:
    """Yield the comments beside the fields of ``part`` and of its base classes."""
    for base in reversed(part.__mro__):
        if not issubclass(base, Part) or base.__module__ == "tunebox.parts.own":
            continue
        for line in inspect.getsource(base).splitlines():
            found = re.match(r"    (\w+): [^#]*#\s*(.+)", line)
            if found:
                yield found[1], found[2]


def _type(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(item, name):,}"
        for item in field.metadata
        for kind, sign in _BOUNDS.items()
        if isinstance(item, kind)
        for name in [kind.__name__.lower()]
    ]
    return " ".join([_name(field.annotation), " and ".join(bounds)]).strip()


def _name(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " | ".join(str(option) for option in get_args(annotation))
    if inspect.isclass(annotation) and issubclass(annotation, Part):
        return annotation.group
    if get_origin(annotation) is Annotated:
        return _name(get_args(annotation)[0])
    if annotation is type(None):
        return "null"
    if get_args(annotation):
        inner = [_name(member) for member in get_args(annotation) if member is not ...]
        is_list = get_origin(annotation) in (list, tuple)
        return f"list of {inner[0]}" if is_list else " | ".join(inner)
    return getattr(annotation, "__name__", str(annotation))


def _default(field: FieldInfo) -> str:
    if field.is_required() or field.default is PydanticUndefined:
        return "required"
    value = field.default
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
