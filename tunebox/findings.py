"""What `tunebox doctor` found: a line each."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.text import Text

Level = Literal["ok", "warning", "error"]
_STYLES: dict[Level, str] = {"ok": "green", "warning": "yellow", "error": "bold red"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: An error keeps a search from running as it should.
        what: One word for the thing.
        text: What was found, and for a warning or an error what to do.
    """

    level: Level
    what: str
    text: str


def print_findings(console: Console, findings: Iterable[Finding]) -> None:
    """Print a line each, aligned and never folded."""
    for finding in findings:
        line = Text(f"{finding.level:<7}", _STYLES[finding.level])
        line.append(f"  {finding.what:<8}  {finding.text}", "default")
        console.print(line, soft_wrap=True)


def has_error(findings: Iterable[Finding]) -> bool:
    """Whether something must be put right."""
    return any(finding.level == "error" for finding in findings)


def says_error(printed: str) -> bool:
    """Whether something must be put right, by what `print_findings` printed."""
    return any(line.split()[:1] == ["error"] for line in printed.splitlines())
