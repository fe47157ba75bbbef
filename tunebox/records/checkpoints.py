"""Checkpoints of trials: one folder per trial, one file per epoch, written atomically.

A checkpoint is a dictionary of tensors and plain values; reading it executes no code. The process
that trains writes checkpoints, the driver of the search removes those that are not needed.
"""

import io
import shutil
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tunebox.errors import RecordsError, describe_error, reading
from tunebox.records.files import remove_unfinished, replacing

FORMAT = 1
KEPT = 2  # checkpoints of a running trial: the newest may turn out to be damaged
_ENDING = ".pt"


def checkpoint_files(folder: Path) -> list[Path]:
    """Return the checkpoints in the folder of a trial, newest first; none if it is absent."""
    try:
        paths = list(folder.iterdir())
    except OSError:
        return []
    files = [path for path in paths if path.suffix == _ENDING and path.stem.isdigit()]
    return sorted(files, key=checkpoint_epoch, reverse=True)


def checkpoint_epoch(path: Path) -> int:
    """Return the number of epochs after which the checkpoint was written."""
    return int(path.stem)


def checkpoint_of(folder: Path, epoch: int) -> Path | None:
    """Return the checkpoint that was written after ``epoch`` epochs, None if there is none."""
    files = checkpoint_files(folder)
    return next((path for path in files if checkpoint_epoch(path) == epoch), None)


def write_checkpoint(folder: Path, epoch: int, content: Mapping[str, Any]) -> None:
    """Write the checkpoint of ``epoch`` atomically, and remove all but the newest `KEPT`.

    Args:
        folder: Folder of the trial; made when absent. Its parent is not made: without it the
            search itself is gone.
        epoch: Number of epochs trained.
        content: Tensors and plain values.

    Raises:
        OSError: The disk is full, or the folder above is absent or cannot be written to.
    """
    import torch

    folder.mkdir(exist_ok=True)
    path = folder / f"{epoch:06d}{_ENDING}"
    buffer = io.BytesIO()  # torch would hide an error of the disk behind its own
    torch.save({"format": FORMAT, **content}, buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
    for old in checkpoint_files(folder)[KEPT:]:
        old.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint, with its tensors on the CPU.

    Raises:
        RecordsError: The file is absent, damaged, or of another format.
    """
    content = read_torch_file(path)
    if not has_format(content, FORMAT):
        raise RecordsError(f"{path} has format {content.get('format')!r:.20}, expected {FORMAT}")
    return content


def keep(folder: Path, names: Collection[str]) -> None:
    """Remove all checkpoints of a trial but ``names``, and the temporary files of killed workers.

    Raises:
        OSError: The folder is gone, or cannot be written to.
    """
    remove_unfinished(folder)
    for path in checkpoint_files(folder):
        if path.name not in names:
            path.unlink(missing_ok=True)


def damage(path: Path) -> str | None:
    """Return what is damaged in a file that torch wrote, None if it is intact.

    The file is an archive with checksums, which torch does not verify: a flipped bit in the
    weights would go unnoticed. The check does not import torch, which takes seconds.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            files = archive.infolist()
            if any(file.compress_type != zipfile.ZIP_STORED for file in files):
                return "it is compressed, which torch does not do"
            if sum(file.file_size for file in files) > path.stat().st_size:
                return "its parts are larger than the whole"
            culprit = archive.testzip()
    except Exception as error:  # such as NotImplementedError: zipfile has no one class for damage
        return describe_error(error)
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
    with reading(path):
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict):
            raise RecordsError("it holds no dictionary")
    return content


def has_format(content: Mapping[str, Any], known: int) -> bool:
    """Return whether the content of a file of torch has the format ``known``."""
    found = content.get("format")
    return isinstance(found, int) and found == known  # to compare a tensor gives a tensor
