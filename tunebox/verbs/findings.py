"""Findings of ``tunebox doctor``."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, cast

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        level: ``error`` if the finding keeps a search from running as it should.
        what: One word for what was checked.
        text: What was found, and what to do about a warning or an error.
    """

    level: Level
    what: str
    text: str


def has_error(findings: Iterable[Finding]) -> bool:
    """Return whether any of ``findings`` is an error."""
    return any(finding.level == "error" for finding in findings)


def says_error(printed: str) -> bool:
    """Return whether the lines printed by ``tunebox doctor`` have an error."""
    return any(line.split()[:1] == ["error"] for line in printed.splitlines())


def findings_in(printed: str) -> Iterator[Finding]:
    """Yield the findings in the lines that ``tunebox doctor`` printed elsewhere."""
    for line in printed.splitlines():
        level, _, rest = line.partition(" ")
        if level in ("ok", "warning", "error"):
            what, _, text = rest.strip().partition(" ")
            yield Finding(cast(Level, level), what, text.strip())
