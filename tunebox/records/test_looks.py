"""Looks at the test set, counted in the folder of the search whose trials were measured on it.

What is chosen after a look is chosen with knowledge of the test set, which then no longer tells
how good the choice is.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

from tunebox.errors import RecordsError, reading
from tunebox.records.files import json_mapping
from tunebox.records.search_folder import SearchFolder


@dataclass(frozen=True)
class TestLook:
    """A look at the test set: when (ISO 8601, UTC) and by which command."""

    __test__ = False  # no test, whatever pytest makes of the name

    time: str
    by: str


def read_looks(folder: SearchFolder) -> list[TestLook]:
    """Return the looks so far, the first one first; a damaged line is a look too.

    Raises:
        RecordsError: The file cannot be read.
    """
    path = folder.test_looks
    if not path.exists():
        return []
    with reading(path):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [_look(line) for line in lines if line.strip()]


def add_look(folder: SearchFolder, by: str) -> None:
    """Count a look that begins now.

    Raises:
        RecordsError: The file cannot be written, so the test set must not be read.
    """
    look = TestLook(datetime.now(timezone.utc).isoformat(timespec="seconds"), by)
    try:
        with folder.test_looks.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(look)) + "\n")
    except OSError as error:
        raise RecordsError(
            f"{folder.test_looks} cannot be written ({error.strerror}): it counts the looks at the "
            "test set, which is not read without"
        ) from error


def describe_looks(name: str, looks: list[TestLook]) -> str | None:
    """Return a line that says that the test set has been seen; None if it has not."""
    if not looks:
        return None
    times = "once" if len(looks) == 1 else f"{len(looks)} times"
    return (
        f"the test set of {name} has been seen {times} before (last {looks[-1].time} by "
        f"{looks[-1].by}): what was chosen with that knowledge is measured too well on it"
    )


def _look(line: str) -> TestLook:
    content = json_mapping(line.encode()) or {}
    if not {"time", "by"} <= content.keys():
        return TestLook("unknown", "unknown")
    return TestLook(str(content["time"]), str(content["by"]))
