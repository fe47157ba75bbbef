"""A disk whose file system Linux makes read-only after an error, as it does by default."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.search_process import wait_until


class FailingDisk:
    """A file system of its own at ``folder``; see `failing_disk`."""

    def __init__(self, folder: Path, image: Path) -> None:
        self.folder = folder
        self._image = image

    def mount(self) -> None:
        """Let it be written to."""
        # sync: what was written before the error is there, it is no power cut
        options = ("-o", "loop,sync,errors=remount-ro", str(self._image), str(self.folder))
        _run("mount", *options)

    @property
    def switch(self) -> Path:
        """The file into which a 1 is written for an error."""
        device = os.stat(self.folder).st_dev
        block = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
        return Path("/sys/fs/ext4") / block.resolve().name / "trigger_fs_error"

    def fail(self) -> None:
        """Be read-only from now on, for files too that are open."""
        self.switch.write_text("1")

    def repair(self) -> None:
        """Be as new, with what is on it; whoever has files open there must be about to end."""
        wait_until(self._is_unmounted, "end of what uses the disk", 60)
        # the error is noted on the disk, and would make it read-only again
        subprocess.run(["e2fsck", "-f", "-y", str(self._image)], capture_output=True, check=False)
        self.mount()

    def _is_unmounted(self) -> bool:
        return subprocess.run(["umount", str(self.folder)], capture_output=True).returncode == 0


@contextmanager
def failing_disk(folder: Path, megabytes: int) -> Iterator[FailingDisk]:
    """Mount a file system of so many megabytes at the new ``folder``.

    Raises:
        PermissionError: Mounting, or making an error, is not allowed here.
    """
    folder.mkdir()
    image = folder.with_suffix(".img")
    image.touch()
    os.truncate(image, megabytes * 1_000_000)
    _run("mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", str(image))
    disk = FailingDisk(folder, image)
    disk.mount()
    try:
        if not os.access(disk.switch, os.W_OK):
            raise PermissionError("no error of a disk can be made here")
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise PermissionError(f"{command[0]} is not here") from error
    if done.returncode:
        raise PermissionError(f"mounting is not allowed here: {done.stderr.strip()}")
