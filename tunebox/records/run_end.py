"""How the last run of a search ended, kept in its folder: not in the tables, and worth knowing."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tunebox.errors import RecordsError
from tunebox.records.files import check_format, write_text

_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class RunEnd:
    """How a run of a search ended; a search that is resumed has several runs."""

    tracking_uri: str  # without credentials
    interrupted: bool  # by a person
    ended: str  # why it ended
    is_complete: bool  # every trial has ended
    warnings: list[str]
    go_on: str  # what a resume needs, behind its command line; of use unless it is complete
    trouble: str | None  # why it was stopped before its last trial
    traceback: str | None  # of a trial, where that explains the trouble


def write_run_end(path: Path, end: RunEnd) -> None:
    """Write ``end``; on a full disk it is left out, the search has said so already."""
    with suppress(OSError):
        write_text(path, json.dumps({"format": _FORMAT, **asdict(end)}, indent=1) + "\n")


def read_run_end(path: Path) -> RunEnd | None:
    """Return how the last run ended; None while it runs, or if it was killed.

    Raises:
        RecordsError: The file is damaged, or a newer tunebox wrote it.
    """
    try:
        content = json.loads(path.read_bytes())
        check_format(path, content, _FORMAT)
        return RunEnd(**{field.name: content[field.name] for field in fields(RunEnd)})
    except FileNotFoundError:
        return None
    except RecordsError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordsError(f"{path} cannot be read: {error!r}") from error
