"""The recorded learning curves of this folder, and lines of Markdown tables."""

from __future__ import annotations

import functools
from pathlib import Path

from tunebox.engine.recorded import Recording
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import read_log
from tunebox.spec.load import load_spec
from tunebox.spec.search_spec import SearchSpec

CURVES = Path(__file__).parent / "curves"
RECORDINGS = sorted(path.parent for path in CURVES.glob("*/trials.parquet"))


@functools.lru_cache(maxsize=1)
def load_recording(folder: Path) -> tuple[SearchSpec, Recording]:
    """Return the search that was recorded, and its curves."""
    files = SearchFolder(folder)
    spec = load_spec(str(files.search_file))
    return spec, Recording(spec.space, read_log(files))


def table_line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
