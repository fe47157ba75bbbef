"""Files of every mode and depth, read back and compared with what NumPy put into them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageOps

from tests.data.image_files import Sample, png, ppm, random, samples, tiff, with_pillow
from tunebox.data.image_file import (
    ImageFile,
    ImageFileError,
    ReadOptions,
    decode_image,
    read_content,
)

SAMPLES = samples()
PAGE = Path(__file__).parents[2] / "docs" / "images.md"


def read(folder: Path, content: bytes, suffix: str = "png", **options: Any) -> ImageFile:
    path = folder / f"image.{suffix}"
    path.write_bytes(content)
    return decode_image(read_content(path), ReadOptions(**options))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_every_mode_and_depth_is_what_numpy_reads(sample: Sample, tmp_path: Path) -> None:
    if sample.expected is None:
        with pytest.raises(ImageFileError):
            read(tmp_path, sample.content, sample.suffix, **sample.options)
        return
    image = read(tmp_path, sample.content, sample.suffix, **sample.options)
    expected = sample.expected
    assert image.pixels.dtype == expected.dtype
    if "CMYK" in sample.name:  # Pillow's rounding
        assert np.abs(image.pixels.astype(int) - expected.astype(int)).max() <= 1
    else:
        assert np.array_equal(image.pixels, expected)
    top = 2**image.bits - 1
    assert image.bits >= 8
    assert int(image.pixels.max()) <= top
    if sample.options or "CMYK" in sample.name or "palette" in sample.name:
        return
    assert (int(image.pixels.min()), int(image.pixels.max())) == (0, top)


@pytest.mark.parametrize(
    "sample", [sample for sample in SAMPLES if sample.options], ids=lambda sample: sample.name
)
def test_what_needs_a_setting_is_refused_without_it(sample: Sample, tmp_path: Path) -> None:
    (name,) = sample.options
    with pytest.raises(ImageFileError, match=f"data/{name}: "):
        read(tmp_path, sample.content, sample.suffix)


def test_table_of_the_documentation() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and "| uint" in line]
    expected = []
    for sample in SAMPLES:
        if sample.expected is not None:
            values = f"{sample.expected.dtype}, {sample.expected.shape[2]}"
            expected.append(f"| {sample.name} | {values} | {sample.becomes} |")
    assert rows == expected
    for sample in SAMPLES:
        if sample.expected is None:
            assert f"| {sample.name} | {sample.becomes} |" in page


def _pictures(channels: int, most: int) -> st.SearchStrategy[np.ndarray]:
    sides = st.integers(1, 9)
    shapes = (
        st.tuples(sides, sides) if channels == 1 else st.tuples(sides, sides, st.just(channels))
    )
    dtype = np.uint8 if most < 256 else np.uint16
    return shapes.flatmap(lambda shape: arrays.arrays(dtype, shape, elements=st.integers(0, most)))


WRITERS: dict[str, Any] = {
    "png": lambda array, most: png(array),
    "tif": lambda array, most: tiff(
        array, photometric="rgb" if array.ndim == 3 else "minisblack", compression="zlib"
    ),
    "ppm": ppm,
}


@pytest.mark.parametrize("suffix", WRITERS)
@given(data=st.data(), channels=st.sampled_from([1, 3]), bits=st.integers(8, 16))
def test_random_arrays_come_back(
    suffix: str, tmp_path_factory: pytest.TempPathFactory, data: Any, channels: int, bits: int
) -> None:
    most = 2**bits - 1
    array = data.draw(_pictures(channels, most))
    folder = tmp_path_factory.getbasetemp()
    image = read(folder, WRITERS[suffix](array, most), suffix)
    assert image.pixels.dtype == array.dtype
    assert np.array_equal(image.pixels, array.reshape(*array.shape[:2], channels))
    # PNG and TIFF keep such samples in 16 bits, PPM says how many they have
    assert image.bits == (8 if bits == 8 else bits if suffix == "ppm" else 16)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG of 8 bits", "PNG of 16 bits", "TIFF of 16 bits"])
def test_orientation_is_applied(orientation: int, kind: str, tmp_path: Path) -> None:
    """As Pillow turns the 8-bit image that has the high bytes."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    high = np.kron(random((3, 2, 3)), np.ones((8, 8, 1), np.uint8))  # blocks, for JPEG
    buffer = io.BytesIO()
    Image.fromarray(high).save(buffer, "JPEG" if kind == "JPEG" else "PNG", exif=exif, quality=100)
    with Image.open(buffer) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    if kind == "PNG of 16 bits":
        content = with_chunk(png(high.astype(np.uint16) * 257), exif.tobytes()[6:])
        found = read(tmp_path, content).pixels >> 8
    elif kind == "TIFF of 16 bits":
        tag = (0x0112, "H", 1, orientation, False)
        content = tiff(high.astype(np.uint16) * 257, photometric="rgb", extratags=[tag])
        found = read(tmp_path, content, "tif").pixels >> 8
    else:
        found = read(tmp_path, buffer.getvalue()).pixels
    assert np.array_equal(found, expected)


def with_chunk(content: bytes, exif: bytes) -> bytes:
    """Put EXIF into a PNG, after its header."""
    import struct
    import zlib

    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif
    chunk += struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    return content[:33] + chunk + content[33:]


def test_turned_tiff_of_8_bits(tmp_path: Path) -> None:
    array = random((4, 6, 3))
    tag = (0x0112, "H", 1, 6, False)  # to be turned to the right
    image = read(tmp_path, tiff(array, photometric="rgb", extratags=[tag]), "tif")
    assert np.array_equal(image.pixels, np.rot90(array, -1))


def test_opaque_alpha_needs_no_background(tmp_path: Path) -> None:
    array = random((4, 5, 4))
    array[..., 3] = 255
    assert np.array_equal(read(tmp_path, png(array)).pixels, array[..., :3])


def test_colour_behind_grey_is_grey(tmp_path: Path) -> None:
    clear = np.zeros((2, 2, 2), np.uint8)
    image = read(tmp_path, png(clear), background=(1.0, 0.0, 0.0))
    assert image.pixels.shape == (2, 2, 1)
    assert set(image.pixels.flat) == {76}  # 0.299 of 255
    clear = np.zeros((2, 2, 4), np.uint16)
    assert read(tmp_path, png(clear), background=(1.0, 0.0, 0.5)).pixels[0, 0].tolist() == [
        *(65535, 0, 32768)
    ]


def test_values_outside_the_range_are_refused(tmp_path: Path) -> None:
    values = np.array([[0.0, 0.5], [0.7, 1.25]], np.float32)
    content = tiff(values)
    with pytest.raises(ImageFileError, match=r"from 0 to 1\.25, outside data/range: \[0, 1\]"):
        read(tmp_path, content, "tif", range=(0.0, 1.0))
    values[0, 0] = np.nan
    with pytest.raises(ImageFileError, match="outside data/range"):
        read(tmp_path, tiff(values), "tif", range=(0.0, 2.0))


def test_jpeg_colours(tmp_path: Path) -> None:
    plain = np.full((16, 16, 3), (200, 30, 90), np.uint8)
    rgb = read(tmp_path, with_pillow(plain, "RGB", "JPEG", quality=100), "jpg")
    assert np.abs(rgb.pixels.astype(int) - plain).max() <= 2
    grey = read(tmp_path, with_pillow(plain[..., 0], "L", "JPEG", quality=100), "jpg")
    assert grey.pixels.shape == (16, 16, 1)
    inks = np.full((16, 16, 4), (0, 255, 0, 0), np.uint8)
    magenta = read(tmp_path, with_pillow(inks, "CMYK", "JPEG", quality=100), "jpg")
    assert np.abs(magenta.pixels.astype(int) - (255, 0, 255)).max() <= 3


def test_what_the_file_says_of_itself(tmp_path: Path) -> None:
    info = read(tmp_path, tiff(random((4, 7), 4095)), "tif").info
    assert (info.format, info.mode, info.bits) == ("TIFF", "L", 16)
    assert (info.width, info.height, info.num_pages) == (7, 4, 1)
    pages = tiff(random((3, 4, 7), 4095), photometric="minisblack")
    assert read(tmp_path, pages, "tif").info.num_pages == 3
