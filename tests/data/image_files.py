"""Image files of every mode and depth, written without the code under test."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

Array = np.ndarray


def with_pillow(array: Array, mode: str, format: str, **options: Any) -> bytes:
    """Encode ``array`` as it is, in a mode of Pillow."""
    size = (array.shape[1], array.shape[0])
    buffer = io.BytesIO()
    Image.frombytes(mode, size, array.tobytes()).save(buffer, format, **options)
    return buffer.getvalue()


def tiff(array: Array, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def png(array: Array) -> bytes:
    return bytes(imagecodecs.png_encode(array))


def ppm(array: Array, most: int) -> bytes:
    """Encode ``(H, W)`` or ``(H, W, 3)`` as raw PGM or PPM, two bytes a sample above 255."""
    kind = b"P5" if array.ndim == 2 else b"P6"
    head = b"%s\n# written by a test\n%d %d\n%d\n" % (kind, array.shape[1], array.shape[0], most)
    return head + array.astype(">u2" if most > 255 else "u1").tobytes()


def random(shape: tuple[int, ...], most: int = 255, seed: int = 0) -> Array:
    """Random integers, among them 0 and ``most``."""
    dtype = np.uint8 if most < 256 else np.uint16
    array = np.random.default_rng(seed).integers(0, most + 1, shape, dtype=np.int64).astype(dtype)
    array.flat[0], array.flat[-1] = 0, most
    return array


@dataclass(frozen=True)
class Sample:
    """A file, and what it has to become.

    Attributes:
        name: What it is, for the table of the documentation.
        suffix: Suffix of the file.
        content: The bytes of the file.
        expected: ``(H, W, C)`` as NumPy alone gives it; None if the file is refused.
        becomes: What the documentation says about it.
        options: Settings that it needs.
    """

    name: str
    suffix: str
    content: bytes
    expected: Array | None
    becomes: str
    options: dict[str, Any]


SHAPE = (6, 5)
GREY8, GREY16 = random(SHAPE), random(SHAPE, 65535)
RGB8, RGB16 = random((*SHAPE, 3)), random((*SHAPE, 3), 65535)
GREY12, RGB12 = random(SHAPE, 4095), random((*SHAPE, 3), 4095)
LA8, RGBA8 = random((*SHAPE, 2)), random((*SHAPE, 4))
LA16, RGBA16 = random((*SHAPE, 2), 65535), random((*SHAPE, 4), 65535)
BITS = random(SHAPE, 1)
INDICES = random(SHAPE, 7)
PALETTE = random((8, 3), seed=3)
FLOATS = np.linspace(-0.5, 1.5, 30, dtype=np.float32).reshape(SHAPE)


def on_white(array: Array, top: int) -> Array:
    colours, alpha = array[..., :-1].astype(np.float64), array[..., -1:] / top
    seen: Array = np.rint(colours * alpha + top * (1 - alpha)).astype(array.dtype)
    return seen


def palette_png(transparent: bool) -> bytes:
    image = Image.fromarray(INDICES, "P")
    image.putpalette(PALETTE.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **({"transparency": 0} if transparent else {}))
    return buffer.getvalue()


def palette_on_white() -> Array:
    colours: Array = PALETTE[INDICES]
    colours[INDICES == 0] = 255
    return colours


def grey(array: Array) -> Array:
    return array[..., None]


def _spread(array: Array, most: int) -> Array:
    """Values from 0 to ``most`` as bytes from 0 to 255, as 255 is a multiple of ``most``."""
    spread: Array = (array * (255 // most)).astype(np.uint8)
    return spread


def png_of_few_bits(array: Array, bits: int) -> bytes:
    """A grey PNG whose samples have 1, 2 or 4 bits, chunk by chunk as the standard says."""
    import struct
    import zlib

    height, width = array.shape
    rows = np.zeros((height, -(-width * bits // 8) * 8), np.uint8)
    spread = np.unpackbits(array[..., None], axis=2)[..., 8 - bits :].reshape(height, -1)
    rows[:, : spread.shape[1]] = spread
    raw = b"".join(b"\0" + row.tobytes() for row in np.packbits(rows, axis=1))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )


_AS_IT_IS = "as it is"
_WHITE: dict[str, Any] = {"background": 1.0}
_RANGE: dict[str, Any] = {"range": (-0.5, 1.5)}
_Made = tuple[str, str, bytes, "Array | None", str]


def _integer_samples() -> list[_Made]:
    grey4, grey2 = random(SHAPE, 15), random(SHAPE, 3)
    return [
        ("PNG, 1 bit", "png", png_of_few_bits(BITS, 1), grey(_spread(BITS, 1)), "grey, 0 and 255"),
        ("PNG, 2 bits", "png", png_of_few_bits(grey2, 2), grey(_spread(grey2, 3)), "spread to 8"),
        ("PNG, 4 bits", "png", png_of_few_bits(grey4, 4), grey(_spread(grey4, 15)), "spread to 8"),
        ("PNG, grey, 8 bits", "png", png(GREY8), grey(GREY8), _AS_IT_IS),
        ("PNG, grey, 16 bits", "png", png(GREY16), grey(GREY16), _AS_IT_IS),
        ("PNG, RGB, 8 bits", "png", png(RGB8), RGB8, _AS_IT_IS),
        ("PNG, RGB, 16 bits", "png", png(RGB16), RGB16, _AS_IT_IS),
        ("PNG, palette", "png", palette_png(False), PALETTE[INDICES], "its colours"),
        ("BMP, RGB", "bmp", with_pillow(RGB8, "RGB", "BMP"), RGB8, _AS_IT_IS),
        ("BMP, grey", "bmp", with_pillow(GREY8, "L", "BMP"), grey(GREY8), _AS_IT_IS),
        (
            "WebP, lossless",
            "webp",
            with_pillow(RGB8, "RGB", "WEBP", lossless=True),
            RGB8,
            _AS_IT_IS,
        ),
        ("PGM, 8 bits", "pgm", ppm(GREY8, 255), grey(GREY8), _AS_IT_IS),
        ("PGM, 12 bits", "pgm", ppm(GREY12, 4095), grey(GREY12), _AS_IT_IS),
        ("PPM, 8 bits", "ppm", ppm(RGB8, 255), RGB8, _AS_IT_IS),
        ("PPM, 16 bits", "ppm", ppm(RGB16, 65535), RGB16, _AS_IT_IS),
        (
            "TIFF, 1 bit",
            "tif",
            tiff(BITS.astype(bool), photometric="minisblack"),
            grey(_spread(BITS, 1)),
            "grey, 0 and 255",
        ),
        ("TIFF, grey, 8 bits", "tif", tiff(GREY8), grey(GREY8), _AS_IT_IS),
        ("TIFF, grey, 16 bits", "tif", tiff(GREY16), grey(GREY16), _AS_IT_IS),
        (
            *("TIFF, grey, 16 bits, big-endian", "tif"),
            *(tiff(GREY16, byteorder=">"), grey(GREY16), _AS_IT_IS),
        ),
        (
            *("TIFF, grey, 16 bits, white is 0", "tif"),
            *(tiff(GREY16, photometric="miniswhite"), grey(65535 - GREY16), "inverted"),
        ),
        ("TIFF, RGB, 8 bits", "tif", tiff(RGB8, photometric="rgb"), RGB8, _AS_IT_IS),
        ("TIFF, RGB, 16 bits", "tif", tiff(RGB16, photometric="rgb"), RGB16, _AS_IT_IS),
        (
            *("TIFF, RGB, 16 bits, LZW", "tif"),
            *(tiff(RGB16, photometric="rgb", compression="lzw", predictor=True), RGB16, _AS_IT_IS),
        ),
        (
            *("TIFF, RGB, 16 bits, by planes", "tif"),
            tiff(np.moveaxis(RGB16, 2, 0).copy(), photometric="rgb", planarconfig="separate"),
            *(RGB16, _AS_IT_IS),
        ),
        ("TIFF, CMYK, 8 bits", "tif", with_pillow(RGBA8, "CMYK", "TIFF"), cmyk(RGBA8), "RGB"),
    ]


def cmyk(array: Array) -> Array:
    """The plain formula: each colour is what its ink and black leave of white."""
    inks = array[..., :3].astype(np.int64)
    black = array[..., 3:].astype(np.int64)
    product = (255 - inks) * (255 - black)
    return np.rint(product / 255).astype(np.uint8)


def _alpha_samples() -> list[_Made]:
    alpha = {"photometric": "rgb", "extrasamples": ["unassalpha"]}
    return [
        ("PNG, grey and alpha, 8 bits", "png", png(LA8), on_white(LA8, 255), "on `background`"),
        (
            "PNG, grey and alpha, 16 bits",
            "png",
            png(LA16),
            on_white(LA16, 65535),
            "on `background`",
        ),
        ("PNG, RGBA, 8 bits", "png", png(RGBA8), on_white(RGBA8, 255), "on `background`"),
        ("PNG, RGBA, 16 bits", "png", png(RGBA16), on_white(RGBA16, 65535), "on `background`"),
        ("PNG, palette and alpha", "png", palette_png(True), palette_on_white(), "on `background`"),
        (
            *("TIFF, RGBA, 16 bits", "tif"),
            *(tiff(RGBA16, **alpha), on_white(RGBA16, 65535), "on `background`"),
        ),
    ]


def _measured_samples() -> list[_Made]:
    expected = np.rint((FLOATS.astype(np.float64) + 0.5) / 2 * 65535).astype(np.uint16)
    colours = np.stack([FLOATS] * 3, axis=-1)
    text = "`range` becomes 0 to 65535"
    return [
        ("TIFF, float, 32 bits", "tif", tiff(FLOATS), grey(expected), text),
        ("TIFF, float, 64 bits", "tif", tiff(FLOATS.astype(np.float64)), grey(expected), text),
        (
            *("TIFF, RGB, float", "tif", tiff(colours, photometric="rgb")),
            *(np.stack([expected] * 3, axis=-1), text),
        ),
    ]


def _refused_samples() -> list[_Made]:
    return [
        (
            *("TIFF, CMYK, 16 bits", "tif", tiff(RGBA16, photometric="separated")),
            *(None, "refused: save it as RGB"),
        ),
        (
            *("TIFF, four channels that are no alpha", "tif"),
            tiff(RGBA16, photometric="rgb", extrasamples=["unspecified"]),
            *(None, "refused: save three"),
        ),
    ]


def samples() -> list[Sample]:
    """Return a file of every mode and depth."""
    groups: list[tuple[Callable[[], list[_Made]], dict[str, Any]]] = [
        (_integer_samples, {}),
        (_alpha_samples, _WHITE),
        (_measured_samples, _RANGE),
        (_refused_samples, {}),
    ]
    return [Sample(*made, options) for make, options in groups for made in make()]
