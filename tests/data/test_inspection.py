"""What is said about a folder of images before a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.image_files import png, random, tiff
from tunebox.data.sets.digits import DigitsSettings
from tunebox.data.sets.image_folder import ImageFolderSettings

Contents = dict[str, bytes]


def inspect(root: Path, **changes: Any) -> tuple[str, list[str]]:
    settings = ImageFolderSettings(kind="image_folder", root=str(root), image_size=4, **changes)
    found = settings.inspect()
    assert found.found is not None
    for line in (found.found, *found.notes):
        assert "\n" not in line
    return found.found, found.notes


def write(root: Path, contents: Contents) -> None:
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def pictures(part: str, *, most: int = 255, count: int = 3, seed: int = 0) -> Contents:
    return {
        f"{part}/{name}/{number}.png": png(
            random((6, 5), most, seed=100 * seed + 10 * number + ord(name))
        )
        for name in "ab"
        for number in range(count)
    }


def test_formats_modes_depths_and_sizes_are_counted(tmp_path: Path) -> None:
    write(tmp_path, pictures("train"))
    write(tmp_path, {"train/a/x.tif": tiff(random((7, 9, 3), 65535), photometric="rgb")})
    write(tmp_path, pictures("test", count=1, seed=1))
    found, _ = inspect(tmp_path)
    assert found == (
        "7 images in 2 classes: 6 PNG L of 8 bits, 1 TIFF RGB of 16 bits; 6 of 5x6, 1 of 9x7 "
        "pixels; test: 2 images in 2 classes: 2 PNG L of 8 bits; 2 of 5x6 pixels"
    )


def test_many_sizes_are_a_span(tmp_path: Path) -> None:
    sizes = [(4, 5), (9, 9), (5, 4), (30, 20), (8, 8), (7, 7)]
    for number, size in enumerate(sizes):
        write(tmp_path, {f"train/{'ab'[number % 2]}/{number}.png": png(random(size))})
    assert inspect(tmp_path)[0].endswith("6 PNG L of 8 bits; 6 sizes from 5x4 to 20x30 pixels")


def test_nothing_odd_no_notes(tmp_path: Path) -> None:
    write(tmp_path, pictures("train"))
    assert inspect(tmp_path)[1] == []
    write(tmp_path, pictures("test", seed=1))
    assert inspect(tmp_path)[1] == []
    assert DigitsSettings(kind="digits").inspect().notes == []


@pytest.mark.parametrize(
    ("most", "bits", "share"),
    [(1023, 10, "1.56%"), (600, 10, "0.92%"), (4095, 12, "6.25%"), (16383, 14, "25.00%")],
)
def test_a_sensor_in_a_deeper_container_is_noticed(
    most: int, bits: int, share: str, tmp_path: Path
) -> None:
    write(tmp_path, pictures("train", most=most))
    write(tmp_path, pictures("test", most=65535, seed=1))  # which nothing may be learnt from
    [note] = inspect(tmp_path)[1]
    assert f"the largest value of the 16-bit images in train is {most:,}, as of {bits} b" in note
    assert f"fill {share} of the range [0, 1]" in note
    assert note.endswith(f"write bits: {bits}")
    assert [line for line in inspect(tmp_path, bits=16)[1] if "largest" in line] == []


@pytest.mark.parametrize("most", [16384, 65535])
def test_a_full_container_is_no_note(most: int, tmp_path: Path) -> None:
    write(tmp_path, pictures("train", most=most))
    assert inspect(tmp_path)[1] == []


def test_bits_that_were_set_are_no_note(tmp_path: Path) -> None:
    write(tmp_path, pictures("train", most=4095))
    assert inspect(tmp_path, bits=12)[1] == []


def test_grey_and_colour_are_counted(tmp_path: Path) -> None:
    write(tmp_path, pictures("train"))
    write(tmp_path, {"train/b/x.png": png(random((6, 5, 3)))})
    [note] = inspect(tmp_path)[1]
    assert "6 images of train are grey and 1 has colours: all get 3 channels" in note
    for channels in (1, 3):
        assert inspect(tmp_path, channels=channels)[1] == []


def test_colours_in_test_only_are_noted(tmp_path: Path) -> None:
    write(tmp_path, pictures("train"))
    write(tmp_path, {"test/a/x.png": png(random((6, 5, 3))), "test/b/y.png": png(random((9, 9)))})
    [note] = inspect(tmp_path)[1]
    assert "1 image of test has colours, and all of train is grey" in note


def test_depths_that_are_mixed_are_counted(tmp_path: Path) -> None:
    write(tmp_path, pictures("train"))
    write(tmp_path, {"train/b/x.png": png(random((6, 5), 65535))})
    [note] = inspect(tmp_path)[1]
    assert note.startswith("6 images of train have 8 bits and 1 has more: white is")


def test_images_in_train_and_test_are_noted_whatever_their_format(tmp_path: Path) -> None:
    write(tmp_path, pictures("train"))
    write(tmp_path, pictures("test", seed=1))
    same = random((6, 5), seed=99)
    write(tmp_path, {"train/a/p.png": png(same), "test/b/q.tif": tiff(same)})
    [note] = inspect(tmp_path)[1]
    assert note.startswith("1 image of test is in train too, such as ")
    assert f"{tmp_path}/test/b/q.tif and {tmp_path}/train/a/p.png: the accuracy on test is" in note


def test_copies_in_train_are_noted_with_their_classes(tmp_path: Path) -> None:
    write(tmp_path, pictures("train"))
    same = png(random((6, 5), seed=99))
    write(tmp_path, {f"train/a/copy{number}.png": same for number in range(3)})
    [note] = inspect(tmp_path)[1]
    assert note.startswith("2 images of train copy another, such as ")
    write(tmp_path, {"train/b/copy.png": same})
    [note] = inspect(tmp_path)[1]
    assert note.startswith("3 images of train copy another, 1 of them under more than one")


def test_equal_bytes_of_another_shape_or_depth_are_no_copies(tmp_path: Path) -> None:
    write(tmp_path, pictures("train"))
    flat = np.zeros((4, 6), np.uint8)
    write(tmp_path, {"train/a/x.png": png(flat), "train/a/y.png": png(flat.reshape(6, 4))})
    write(tmp_path, {"train/a/z.png": png(np.zeros((4, 3), np.uint16))})
    assert not any("copy" in note or "copies" in note for note in inspect(tmp_path)[1])


def test_classes_without_test_images_are_noted(tmp_path: Path) -> None:
    write(tmp_path, pictures("train"))
    write(tmp_path, {"test/a/x.png": png(random((6, 5), seed=77))})
    [note] = inspect(tmp_path)[1]
    assert note.startswith("test has no image of b: ")
    (tmp_path / "test" / "b").mkdir()
    assert inspect(tmp_path)[1] == [note]


def test_files_that_are_left_out_are_counted(tmp_path: Path) -> None:
    write(tmp_path, pictures("train"))
    write(tmp_path, {"train/a/x.gif": b"", "train/b/y.gif": b"", "train/b/notes.txt": b""})
    write(tmp_path, {"train/a/.DS_Store": b""})
    [note] = inspect(tmp_path)[1]
    assert note == "3 files are not named like images and left out: 2 .gif, 1 .txt"
    write(tmp_path, {"test/a/1.png": png(random((6, 5), seed=98)), "test/b/notes.txt": b""})
    for name in ("a/x.gif", "b/y.gif", "b/notes.txt"):
        (tmp_path / "train" / name).unlink()
    assert "1 file is not named like images and left out: 1 .txt" in inspect(tmp_path)[1]


def test_files_of_several_pages_are_noted(tmp_path: Path) -> None:
    write(tmp_path, pictures("train"))
    write(tmp_path, {"train/a/x.tif": tiff(random((3, 6, 5)), photometric="minisblack")})
    [note] = inspect(tmp_path)[1]
    assert note.startswith("1 file holds several images, of which the first is read: such as ")


def test_progress_counts_all_parts(tmp_path: Path) -> None:
    write(tmp_path, pictures("train"))
    write(tmp_path, pictures("test", seed=1))
    settings = ImageFolderSettings(kind="image_folder", root=str(tmp_path), image_size=4)
    calls: list[tuple[int, int]] = []
    settings.inspect(lambda *done: calls.append(done))
    assert calls == [(number, 12) for number in range(1, 13)]
