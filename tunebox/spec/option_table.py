"""The settings of a search as a table for the documentation.

``python -m tunebox.spec.option_table`` prints it, with ``confirm`` that of `tunebox.confirm`.
"""

import sys
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from tunebox.spec.confirm_settings import ConfirmSettings, confirm_options
from tunebox.spec.search_options import SearchOption, search_options
from tunebox.spec.search_settings import SearchSettings, StopWhen


def option_table() -> str:
    """Return the settings of a search as a table in Markdown."""
    lines = [
        "| setting | values | default | resume | replay | meaning |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for option in search_options():
        uses = ("yes" if use else "" for use in (option.use.resumable, option.use.replayable))
        meaning = (
            option.description
            if option.use.typed
            else f"{option.description} Not a command-line option."
        )
        cells = (f"`{option.name}`", _values(option), option.default, *uses, meaning)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def confirm_table() -> str:
    """Return the options of ``tunebox confirm`` as a table in Markdown."""
    lines = ["| option | values | default | meaning |", "| --- | --- | --- | --- |"]
    for option in confirm_options():
        cells = (f"`{option.spelling}`", _values(option), option.default, option.description)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _values(option: SearchOption) -> str:
    if option.type == list[str]:
        return "list of names"
    known = {**SearchSettings.model_fields, **ConfirmSettings.model_fields}
    field = known[option.name]
    kinds = [_kind(part, field) for part in get_args(field.annotation) or [field.annotation]]
    return " or ".join(kind for kind in kinds if kind)


_KINDS = {int: "whole number", float: "number", str: "text", StopWhen: "mapping"}
_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def _kind(part: Any, field: FieldInfo) -> str:
    """Return one alternative of a type in words, with its bounds."""
    if isinstance(part, str):  # of a Literal
        return f"`{part}`"
    if get_origin(part) is Literal:
        return " or ".join(f"`{word}`" for word in get_args(part))
    metadata = [*field.metadata, *getattr(part, "__metadata__", ())]
    base = getattr(part, "__origin__", part)
    bounds = [
        f"{sign} {getattr(item, attribute):,}"
        for data in metadata
        for item in getattr(data, "metadata", [data])
        for attribute, sign in _SIGNS.items()
        if hasattr(item, attribute)
    ]
    return " ".join([_KINDS.get(base, ""), ", ".join(bounds)]).strip() if base in _KINDS else ""


if __name__ == "__main__":
    print(confirm_table() if "confirm" in sys.argv else option_table(), end="")
