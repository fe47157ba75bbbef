"""Checkpoints of trials: a folder a trial, a file an epoch, never seen half written.

A checkpoint is a dictionary of tensors and plain values; nothing in the file is executed when it
is read. The process that trains writes it, the driver of the search removes what is not needed.
"""

import io
import pickle
import shutil
import struct
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tunebox.errors import RecordsError, first_line
from tunebox.records.files import remove_unfinished, replacing

FORMAT = 1
KEPT = 2  # while the trial runs: the newest may turn out to be damaged
_ENDING = ".pt"
_NO_ARCHIVE = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile)
_UNPICKLING = (pickle.UnpicklingError, struct.error, IndexError, TypeError, AttributeError)


def checkpoint_files(folder: Path) -> list[Path]:
    """Return the checkpoints in the folder of a trial, newest first; none if it is absent."""
    try:
        paths = list(folder.iterdir())
    except OSError:
        return []
    files = [path for path in paths if path.suffix == _ENDING and path.stem.isdigit()]
    return sorted(files, key=checkpoint_epoch, reverse=True)


def checkpoint_epoch(path: Path) -> int:
    """Return after how many epochs the checkpoint was written."""
    return int(path.stem)


def checkpoint_of(folder: Path, epoch: int) -> Path | None:
    """Return the checkpoint that was written after ``epoch`` epochs, None if there is none."""
    files = checkpoint_files(folder)
    return next((path for path in files if checkpoint_epoch(path) == epoch), None)


def write_checkpoint(folder: Path, epoch: int, content: Mapping[str, Any]) -> None:
    """Write the checkpoint of ``epoch`` in one step, and remove all but the newest `KEPT`.

    Args:
        folder: Of the trial; made when absent, but not the folder above it: where that is gone
            the whole search is.
        epoch: How many epochs are done.
        content: Tensors and plain values.

    Raises:
        OSError: The disk is full, or the folder above is absent or cannot be written to.
    """
    import torch

    folder.mkdir(exist_ok=True)
    path = folder / f"{epoch:06d}{_ENDING}"
    buffer = io.BytesIO()  # torch would turn an error of the disk into one of its own
    torch.save({"format": FORMAT, **content}, buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
    for old in checkpoint_files(folder)[KEPT:]:
        old.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what `write_checkpoint` wrote, its tensors on the CPU.

    Raises:
        RecordsError: The file is absent, damaged, or of another format.
    """
    content = read_torch_file(path)
    if content.get("format") != FORMAT:
        raise RecordsError(f"{path} has format {content.get('format')!r}, expected {FORMAT}")
    return content


def keep(folder: Path, names: Collection[str]) -> None:
    """Remove the checkpoints of a trial that are not named, and what killed workers left.

    Raises:
        OSError: The folder is gone, or cannot be written to.
    """
    remove_unfinished(folder)
    for path in checkpoint_files(folder):
        if path.name not in names:
            path.unlink(missing_ok=True)


def damage(path: Path) -> str | None:
    """Return what is wrong with a file that torch wrote, None if it is as it was written.

    Such a file is an archive with checksums. Torch, which takes seconds to import, does not look
    at them: a flipped bit in the weights would go unnoticed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            culprit = archive.testzip()
    except _NO_ARCHIVE as error:
        return first_line(error)
    return None if culprit is None else f"the checksum of {culprit} is wrong"


def remove_checkpoints(folder: Path) -> None:
    """Remove the folder of a trial; a file that cannot be removed stays."""
    shutil.rmtree(folder, ignore_errors=True)


def read_torch_file(path: Path) -> dict[str, Any]:
    """Return the dictionary of tensors and plain values in ``path``, on the CPU.

    Nothing in the file is executed.

    Raises:
        RecordsError: The file is absent or damaged.
    """
    import torch

    reason = damage(path)
    if reason is not None:
        raise RecordsError(f"{path} cannot be read: {reason}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    # what torch.load raises for one damage or another
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, *_UNPICKLING) as error:
        raise RecordsError(f"{path} cannot be read: {first_line(error)}") from error
    if not isinstance(content, dict):
        raise RecordsError(f"{path} cannot be read: it holds no dictionary")
    return content
