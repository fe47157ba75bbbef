from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest
import torch

from tunebox.errors import RecordsError
from tunebox.records.checkpoints import (
    checkpoint_files,
    checkpoint_of,
    damage,
    keep,
    read_checkpoint,
    remove_checkpoints,
    write_checkpoint,
)


def epochs_in(folder: Path) -> list[int]:
    return [int(path.stem) for path in checkpoint_files(folder)]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    tensor = torch.arange(6.0).reshape(2, 3)
    write_checkpoint(tmp_path / "t", 7, {"model": {"w": tensor}, "reports": [{"loss": 0.5}]})
    [path] = checkpoint_files(tmp_path / "t")
    content = read_checkpoint(path)
    assert torch.equal(content["model"]["w"], tensor)
    assert content["reports"] == [{"loss": 0.5}]
    assert [file.name for file in (tmp_path / "t").iterdir()] == ["000007.pt"]


def test_the_two_newest_are_kept_newest_first(tmp_path: Path) -> None:
    order = [3, 12, 1, 100, 9]
    random.Random(0).shuffle(order)
    for epoch in order:
        write_checkpoint(tmp_path / "t", epoch, {})
    assert epochs_in(tmp_path / "t") == [100, 12]
    half_written = tmp_path / "t" / ".000101.pt.abc.part"  # by a worker that was killed
    half_written.touch()
    keep(tmp_path / "t", ["000012.pt"])
    assert not half_written.exists()
    assert epochs_in(tmp_path / "t") == [12]
    assert checkpoint_of(tmp_path / "t", 12) == tmp_path / "t" / "000012.pt"
    assert checkpoint_of(tmp_path / "t", 100) is None
    remove_checkpoints(tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_a_folder_that_is_absent_has_none(tmp_path: Path) -> None:
    assert checkpoint_files(tmp_path / "t") == []
    assert checkpoint_of(tmp_path / "t", 1) is None
    remove_checkpoints(tmp_path / "t")


def test_other_files_are_no_checkpoints(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "t", 2, {})
    for name in (".000009.pt.123", "notes.txt", "x.pt"):
        (tmp_path / "t" / name).write_text("", encoding="utf-8")
    assert epochs_in(tmp_path / "t") == [2]


def test_the_folder_above_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_checkpoint(tmp_path / "gone" / "t", 1, {})
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_the_checkpoint_before_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(tmp_path / "t", 1, {"epoch": 1})

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_checkpoint(tmp_path / "t", 2, {"epoch": 2})
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["000001.pt"]


@pytest.mark.parametrize("content", [b"", b"no torch file", None])
def test_a_damaged_checkpoint_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    write_checkpoint(tmp_path, 1, {"weights": torch.zeros(1000)})
    path = tmp_path / "000001.pt"
    path.write_bytes(path.read_bytes()[:-1500] if content is None else content)
    with pytest.raises(RecordsError, match=r"000001\.pt cannot be read") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_in_the_weights_is_damage(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "t", 2, {"weights": torch.zeros(1000)})
    path = tmp_path / "t" / "000002.pt"
    assert damage(path) is None
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(RecordsError, match=r"000002\.pt cannot be read: the checksum of"):
        read_checkpoint(path)


def test_a_checkpoint_of_another_format_is_an_error(tmp_path: Path) -> None:
    torch.save({"format": 9}, tmp_path / "000001.pt")
    with pytest.raises(RecordsError, match="has format 9, expected 1"):
        read_checkpoint(tmp_path / "000001.pt")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    torch.save({"format": 1, "bad": Path("x")}, tmp_path / "000001.pt")
    with pytest.raises(RecordsError, match="cannot be read"):
        read_checkpoint(tmp_path / "000001.pt")
