"""Every damaged file is found in one pass, whatever its decoder raises."""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.damaged_files import WHOLE, damaged
from tests.data.image_files import png, random
from tunebox.data import listing
from tunebox.data.image_file import ImageFile, ImageFileError, ImageInfo
from tunebox.data.parts import load_test_part, load_training_parts
from tunebox.data.read_files import read_files
from tunebox.data.sets.image_folder import ImageFolderSettings
from tunebox.errors import DataError

DAMAGED = damaged()


def folder_settings(root: Path, **changes: Any) -> ImageFolderSettings:
    return ImageFolderSettings(kind="image_folder", root=str(root), image_size=4, **changes)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(12):
        path = tmp_path / "train" / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(random((6, 6, 3), seed=number)))
    return tmp_path


@pytest.mark.parametrize("name", DAMAGED)
def test_each_is_named_with_a_reason(name: str, root: Path) -> None:
    path = root / "train" / "b" / name
    DAMAGED[name](path)
    settings = folder_settings(root)
    for read in (settings.inspect, lambda: load_training_parts(settings)):
        with pytest.raises(DataError) as caught:
            read()
        line = str(caught.value)
        assert line.startswith(f"1 of 13 images cannot be read: {path} ")
        assert line.endswith("leave them out with data/bad_files: skip")
        assert "\n" not in line
        assert " object at 0x" not in line


def test_what_is_whole_is_read(root: Path) -> None:
    for name, content in WHOLE.items():
        (root / "train" / "a" / f"whole.{name}").write_bytes(content)
    (root / "train" / "a" / "in_truth_a_png.jpg").write_bytes(WHOLE["png"])
    assert folder_settings(root).inspect().bad == []


def test_all_are_found_at_once_and_ten_are_shown(root: Path) -> None:
    assert len(DAMAGED) >= 40
    for name, write in DAMAGED.items():
        write(root / "train" / "b" / name)
    with pytest.raises(DataError) as caught:
        folder_settings(root).inspect()
    line = str(caught.value)
    count = len(DAMAGED)
    assert line.startswith(f"{count} of {count + 12} images cannot be read: ")
    assert f"and {count - 10} more; repair or remove them" in line
    assert len(re.findall(r"/train/b/", line)) == 10

    settings = folder_settings(root, bad_files="skip")
    found = settings.inspect()
    assert {Path(one.name).name for one in found.bad} == set(DAMAGED)
    assert all(one.reason for one in found.bad)
    assert found.notes[0].startswith(f"{count} of {count + 12} images cannot be read: ")
    assert "12 images in 2 classes" in str(found.found)
    parts, test = load_training_parts(settings), load_test_part(settings)
    assert len(parts.train) + len(parts.validation) + len(test) == 12


def test_a_class_that_skipping_leaves_empty_is_an_error(root: Path) -> None:
    for path in (root / "train" / "b").iterdir():
        path.write_bytes(b"")
    for read in (ImageFolderSettings.inspect, load_training_parts):
        with pytest.raises(DataError, match=r"train/b: 0 image\(s\) that can be read"):
            read(folder_settings(root, bad_files="skip"))


@pytest.mark.parametrize(
    "error",
    [
        *(OSError("broken"), ValueError("bad"), SyntaxError("not a PNG"), EOFError()),
        *(KeyError(7), IndexError("x"), RuntimeError("decoder\nsays no"), OverflowError("big")),
        *(ZeroDivisionError("0"), AssertionError(), TypeError("t"), RecursionError("deep")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_decoder_raises(
    error: Exception, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = (root / "train" / "b" / "03.png").read_bytes()

    def fail(content: bytes, *_: Any) -> ImageFile:
        if content != broken:
            return ImageFile(np.zeros((6, 6, 1), np.uint8), 8, ImageInfo("PNG", "L", 8, 6, 6))
        raise error

    monkeypatch.setattr(listing, "decode_image", fail)
    with pytest.raises(
        DataError, match=r"1 of 12 images cannot be read: .*03\.png is damaged \("
    ) as e:
        folder_settings(root).inspect()
    assert type(error).__name__ in str(e.value)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), MemoryError()])
def test_a_file_that_cannot_be_reached_now_is_not_left_out(error: Exception) -> None:
    """Else one trial would train on other images than the next."""

    def read(_: Path) -> None:
        raise error

    with pytest.raises(
        DataError, match=r"x\.png: (Input/output error; try again|too little memory)"
    ):
        list(read_files([Path("x.png")], 1, read))


def test_results_come_in_order_with_progress() -> None:
    seen: list[tuple[int, int]] = []
    files = [Path(f"{number}.png") for number in range(1000)]

    def read(path: Path) -> int:
        if path.stem == "500":
            raise ImageFileError("is the one")
        return int(path.stem)

    results = list(read_files(files, 1000, read, lambda *done: seen.append(done)))
    assert [read.result for read in results] == [*range(500), None, *range(501, 1000)]
    assert str(results[500].bad) == "500.png is the one"
    assert seen == [(number, 1000) for number in range(1, 1001)]
    assert list(read_files([], 0, read)) == []
