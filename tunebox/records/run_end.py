"""The file ``end.json``: how the last run of a search ended."""

from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from pydantic import TypeAdapter

from tunebox.errors import reading
from tunebox.records.files import read_json, write_json

_FORMAT = 2  # 1 had no checksum


@dataclass(frozen=True, kw_only=True)
class RunEnd:
    """How a run of a search ended; a search that is resumed has several runs."""

    tracking_uri: str  # without credentials
    interrupted: bool  # by the user
    ended: str  # reason for its end
    is_complete: bool  # every trial has ended
    warnings: list[str]
    go_on: str  # a remark on how a resume goes on, unless the search is complete
    trouble: str | None  # why it stopped before its last trial, unless the user asked for it
    traceback: str | None  # of a trial, if it explains the trouble


_RUN_END = TypeAdapter(RunEnd)


def write_run_end(path: Path, end: RunEnd) -> None:
    """Write ``end``; an error of the disk is ignored, since the search has reported it."""
    content = {field.name: getattr(end, field.name) for field in fields(RunEnd)}
    with suppress(OSError):
        write_json(path, {"format": _FORMAT, **content})


def read_run_end(path: Path) -> RunEnd | None:
    """Return how the last run ended; None while it runs, or if it was killed.

    Raises:
        RecordsError: The file is damaged, or a newer tunebox wrote it.
    """
    if not path.exists():
        return None
    with reading(path, advice="a resume of the search writes it anew"):
        content = read_json(path, _FORMAT)
        known = {field.name: content[field.name] for field in fields(RunEnd)}
        return _RUN_END.validate_python(known)
