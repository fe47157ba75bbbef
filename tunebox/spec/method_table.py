"""The loss terms as tables for the documentation.

``python -m tunebox.spec.method_table`` prints them. A row is made of the docstring and the settings
of a term, and a source of the docstring of its module.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from tunebox.losses.settings import Family, TermSettings, ViewTermSettings
from tunebox.spec.part_table import Argument, entries

_SECTIONS = ("Formula", "Good for", "Deviates")
_SOURCE = re.compile(r"^\[(\w+)\] (.+?)(?=^\[|^\S*$|\Z)", re.MULTILINE | re.DOTALL)
_EXPLAINED_ONCE = (("weight", "1.0"), ("on", "required"), ("on", "clean"))  # name and default


@dataclass(frozen=True)
class Method:
    """A loss term as its docstring describes it.

    Attributes:
        kind: Name in a search file.
        meaning: First sentence of the docstring.
        sections: Formula, what it is good for, and how it deviates from the source, by heading.
        cost: Forwards of a step, each followed by a backward.
        settings: Settings of its own.
        family: Which table it is in.
    """

    kind: str
    meaning: str
    sections: dict[str, str]
    cost: str
    settings: tuple[Argument, ...]
    family: Family


def methods() -> list[Method]:
    """Return all loss terms that come with tunebox, in alphabetical order."""
    return [
        Method(
            entry.kind,
            entry.meaning,
            _sections(TermSettings.kinds()[entry.kind]),
            _cost(TermSettings.kinds()[entry.kind]),
            tuple(a for a in entry.arguments if (a.name, a.default) not in _EXPLAINED_ONCE),
            TermSettings.kinds()[entry.kind].family,
        )
        for entry in entries("term")
    ]


def method_table(family: Family) -> str:
    """Return the terms of a family as a table in Markdown."""
    lines = [
        "| method | formula | settings: default | forwards | good for | deviates |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [_row(method) for method in methods() if method.family == family]
    return "\n".join(lines) + "\n"


def sources() -> dict[str, str]:
    """Return the sources that modules of terms give, by their key."""
    found: dict[str, str] = {}
    for part in TermSettings.kinds().values():
        text = inspect.getdoc(inspect.getmodule(part)) or ""
        found |= {key: " ".join(source.split()) for key, source in _SOURCE.findall(text)}
    return dict(sorted(found.items()))


def source_list() -> str:
    """Return the sources as a list in Markdown."""
    return "".join(f"- [{key}] {source}\n" for key, source in sources().items())


def _sections(part: type[TermSettings]) -> dict[str, str]:
    text = inspect.getdoc(part) or ""
    headings = "|".join(_SECTIONS)
    found = re.findall(rf"^({headings}): (.+?)(?=^(?:{headings}): |\Z)", text, re.M | re.S)
    return {heading: " ".join(content.split()) for heading, content in found}


def _cost(part: type[TermSettings]) -> str:
    on = {"on": "clean"} if "on" in part.model_fields else {}
    if part.cost is not None:
        return part.cost
    term = part.model_validate({"kind": get_args(part.model_fields["kind"].annotation)[0], **on})
    if not term.views:
        return "0"
    if term.num_copies > 1:
        return "`copies`"
    return "1 for each view" if isinstance(term, ViewTermSettings) else str(len(term.views))


def _row(method: Method) -> str:
    settings = "; ".join(_settings(method)) or "none"
    cells = (
        f"`{method.kind}`: {method.meaning}",
        method.sections["Formula"],
        settings,
        method.cost,
        method.sections["Good for"],
        method.sections["Deviates"],
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _settings(method: Method) -> Iterator[str]:
    for argument in method.settings:
        bounds = argument.type if "|" in argument.type else argument.type.partition(" ")[2]
        allowed = f" ({bounds})" if bounds else ""
        meaning = f": {argument.meaning}" if argument.meaning else ""
        yield _short(f"`{argument.name}: {argument.default}`{allowed}{meaning}")


def _short(text: str) -> str:
    """Return ``text`` with 6 decimals at most, and none that are 0."""
    text = re.sub(r"\d+\.\d{7,}", lambda number: f"{float(number[0]):.6f}", text)
    return re.sub(r"(\d)\.0\b", r"\1", text)


if __name__ == "__main__":
    for family in get_args(Family):
        print(method_table(family))
    print(source_list(), end="")
