"""What a section of a report is made of, for any page."""

from dataclasses import dataclass, field
from typing import Any

Trace = dict[str, Any]  # of plotly
Layout = dict[str, Any]


@dataclass(frozen=True)
class View:
    """A button above a figure: what it changes in the traces and in the layout."""

    label: str
    data: dict[str, Any] = field(default_factory=dict)
    layout: Layout = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """A picture. Points whose ``customdata`` is the key of a trial can be clicked."""

    label: str  # for those who cannot see it
    data: list[Trace]
    layout: Layout
    views: list[View] = field(default_factory=list)  # the first is the one that is shown
    is_wide: bool = False  # takes the whole width of the page
    can_select: bool = False  # a button lets a box mark its trials in all figures


@dataclass(frozen=True)
class Table:
    """A table; the rows of trials have their keys, and can be clicked."""

    headings: list[str]
    rows: list[list[str]]
    keys: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Section:
    """A part of a report: what it says, and the pictures that show it."""

    title: str
    sentences: list[str]
    figures: list[Figure] = field(default_factory=list)
    table: Table | None = None
