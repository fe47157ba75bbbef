"""One pass over the data before trials start, so that no trial meets a damaged file."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunebox.data.settings import DataSettings
from tunebox.errors import DataError
from tunebox.records.files import write_text

if TYPE_CHECKING:
    from tunebox.data.inspection import Inspection
    from tunebox.data.read_files import BadFile

_PAUSE_SECONDS = 10.0  # between two lines about how far the pass is


def data_are_here(data: DataSettings) -> bool:
    """Tell whether the files lie on this machine; those of a cluster may be on its nodes only."""
    try:
        data.check()
    except DataError:
        return False
    return True


def inspect_data(data: DataSettings, note: Callable[[str], None]) -> "Inspection":
    """Read all of the data on this machine, and note what there is.

    Raises:
        DataError: Files are missing or damaged; says which.
    """
    data.check()
    inspection = data.inspect(_paced(note, "read"))
    note_inspection(inspection, note)
    return inspection


def note_inspection(inspection: "Inspection", note: Callable[[str], None]) -> None:
    """Note what was found, and a warning for each thing that is odd."""
    if inspection.found is not None:
        note(f"data: {inspection.found}")
    for line in inspection.notes:
        note(f"warning: {line}")


def write_bad_files(bad: Sequence["BadFile"], path: Path) -> None:
    """Write which files were left out and why, one a line; without any no file is left."""
    if bad:
        write_text(path, "".join(f"{one.name}\t{one.reason}\n" for one in bad))
    else:
        path.unlink(missing_ok=True)


def store_data(data: DataSettings, note: Callable[[str], None]) -> None:
    """Decode the images for training into the cache of this machine, if they are many.

    Raises:
        DataError: The cache cannot be written, or files have changed in the meantime.
    """
    from tunebox.data.picture_settings import PictureSettings

    if isinstance(data, PictureSettings):
        data.open("train", _paced(note, "decoded"))


def _paced(note: Callable[[str], None], what: str) -> Callable[[int, int], None]:
    """Return a progress function that notes a line every few seconds."""
    last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > _PAUSE_SECONDS:
            last = time.monotonic()
            note(f"data: {done:,} of {total:,} images {what}")

    return progress
