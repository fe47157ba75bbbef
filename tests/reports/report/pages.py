"""What is on a page of a report, read from its text."""

from __future__ import annotations

import base64
import gzip
import json
import re
from typing import Any

from tests.records.make_log import CLEAN, LOSS, NOISY, OBJECTIVES, make_spec
from tunebox.decisions.trials import TrialLog
from tunebox.pareto.objectives import Objective, Objectives
from tunebox.reports.report.study import Study

SECONDS = Objective("train_seconds", maximize=False, reference=100.0)
SOME_OBJECTIVES = [
    Objectives([CLEAN]),
    OBJECTIVES,
    Objectives([CLEAN, NOISY, LOSS]),
    Objectives([LOSS, CLEAN, NOISY, SECONDS]),
]


def study_of(log: TrialLog, name: str = "made-1") -> Study:
    """Return what a report of ``log`` is made from, with the settings of `make_spec`."""
    return Study(name, log, make_spec().space.leaves, "Which is best?")


def unpacked(page: str, name: str) -> str:
    """Return the text that a page has packed under ``name``."""
    found = re.search(f'<script type="application/gzip" id="{name}">([^<]*)</script>', page)
    assert found is not None
    return gzip.decompress(base64.b64decode(found[1])).decode()


def data_of(page: str) -> dict[str, Any]:
    """Return what the script of a page draws."""
    data: dict[str, Any] = json.loads(unpacked(page, "data"))
    return data
