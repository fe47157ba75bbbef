"""The page of a report: sections and trials as one file that needs no other."""

import base64
import functools
import gzip
import json
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from tunebox.records.files import write_text
from tunebox.reports.report import (
    comparison,
    confirmed,
    contours,
    front,
    gains,
    learning,
    methods,
    settings,
)
from tunebox.reports.report.palette import BACKGROUND, COLOURS
from tunebox.reports.report.section import Section
from tunebox.reports.report.study import Study, count
from tunebox.reports.report.trials import details

_SECTIONS = (
    front.section,
    confirmed.section,
    methods.section,
    settings.importance_section,
    settings.slice_section,
    contours.section,
    settings.parallel_section,
    learning.section,
    gains.section,
)
_THEME = {
    "light": {"ink": "#1B1F24", "muted": "#5F6872", "grid": "#D5DAE0", "shade": "#EDF3F9"},
    "dark": {"ink": "#E6EAEE", "muted": "#9AA4AE", "grid": "#3A424B", "shade": "#1D2630"},
}


def write_report(studies: Sequence[Study], path: Path) -> None:
    """Write the report of one or more searches as a page, in one step."""
    write_text(path, report_page(studies))


def report_page(studies: Sequence[Study]) -> str:
    """Return the report of one or more searches as HTML.

    The page has all it needs in it, the library that draws included, packed so that it is small.
    """
    return page_of([study.name for study in studies], report_data(studies))


def report_data(studies: Sequence[Study], *, is_live: bool = False) -> str:
    """Return what the page of a report draws, as JSON.

    Args:
        studies: The searches.
        is_live: Whether the page asks its server for newer data.
    """
    groups: list[tuple[str, str, list[Section]]] = []
    if len(studies) > 1:
        groups.append(("Comparison", "", [comparison.section(studies)]))
    for study in studies:
        made = [section(study) for section in _SECTIONS]
        groups.append((study.name, _summary(study), [s for s in made if s is not None]))
    trials: dict[str, Any] = {}
    for study in studies:
        trials |= details(study)
    data = {
        "groups": [
            {"title": title, "summary": summary, "sections": [asdict(s) for s in sections]}
            for title, summary, sections in groups
        ],
        "trials": trials,
        "themes": {name: _theme(name) for name in BACKGROUND},
        "is_live": is_live,
    }
    return json.dumps(data, allow_nan=False, separators=(",", ":"))


def page_of(names: Sequence[str], data: str) -> str:
    """Return the page of the searches ``names`` with `report_data`."""
    here = files("tunebox.reports.report")
    parts = {
        "TITLE": escape(", ".join(names)),
        "STYLE": here.joinpath("page.css").read_text(encoding="utf-8"),
        "DATA": _packed(data),
        "PLOTLY": packed_library(),
        "SCRIPT": here.joinpath("page.js").read_text(encoding="utf-8"),
    }
    page = here.joinpath("page.html").read_text(encoding="utf-8")
    for name, part in parts.items():
        page = page.replace(f"<!--{name}-->", part, 1)
    return page


@functools.cache
def packed_library() -> str:
    """Return the library that draws, for the page."""
    from plotly.offline import get_plotlyjs

    return _packed(get_plotlyjs())


def _packed(text: str) -> str:
    """Return text for the page, which a browser unpacks with `DecompressionStream`."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def _theme(name: str) -> dict[str, str]:
    colours = {f"c{number}": colour for number, colour in enumerate(COLOURS[name])}
    return {"background": BACKGROUND[name], **_THEME[name], **colours}


def _summary(study: Study) -> str:
    log = study.log
    states = [trial.state.value for trial in log.trials.values()]
    each = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    start = f"{study.question} " if study.question else ""
    constraints = f"; on the front if {log.constraints}" if log.constraints else ""
    return (
        f"{start}{count(len(log.trials), 'trial')} ({each or 'none yet'}), "
        f"{count(log.epochs_spent, 'epoch')}, hypervolume {log.hypervolume():.4f}{constraints}"
    )
