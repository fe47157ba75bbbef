"""Markdown in which the text of others is text: no formatting, links, tables or HTML of theirs."""

import re
from collections.abc import Mapping

from tunebox.text import printable

_SPECIAL = re.compile(r"([\\`*\[\]<>|~#&$])")
_UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")  # within a word it is a letter


def text(words: str) -> str:
    """Return ``words`` as Markdown that shows them as they are, within a line."""
    return _UNDERSCORE.sub(r"\\_", _SPECIAL.sub(r"\\\1", printable(words)))


def code(words: str) -> str:
    """Return ``words`` as code within a line."""
    line = printable(words)
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " * (not line or line[0] in "` " or line[-1] in "` ")
    return f"{fence}{space}{line}{space}{fence}"


def table(heads: tuple[str, str], rows: Mapping[str, str]) -> list[str]:
    """Return the lines of a table with two columns, whose cells are text."""
    cells = (f"| {text(name)} | {text(value)} |" for name, value in rows.items())
    return [f"| {heads[0]} | {heads[1]} |", "|---|---|", *cells]
