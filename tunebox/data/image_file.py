"""One image file as an array that keeps every bit of it.

Pillow reads what has at most 8 bits a sample. Deeper files would lose their low bits there without
a word, unless they are grey: imagecodecs reads PNG, tifffile TIFF, and NumPy the plain samples of
PPM. Imports no torch.

Shapes: H x W pixels, C channels, 1 or 3.
"""

from __future__ import annotations

import io
import logging
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_ORIENTATION = 0x0112  # the tag of EXIF and TIFF
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: BigTIFF
_PNG = b"\x89PNG\r\n\x1a\n"
_DEEP_PPM = {b"P2": 1, b"P5": 1, b"P3": 3, b"P6": 3}  # channels
_PLAIN_PPM = (b"P2", b"P3")
_RESOLVED = {"La": "LA", "RGBa": "RGBA", "1": "L"}
_TOP = 65535


class ImageFileError(ValueError):
    """A file that is not read; says why, and what to do if that is not plain."""


@dataclass(frozen=True)
class ReadOptions:
    """What the settings of the data say about reading.

    Attributes:
        range: Values of a float, signed or 32-bit image that become 0 and 1; None refuses those.
        background: Grey level or colour in [0, 1] that is seen through transparent pixels; None
            refuses those.
    """

    range: tuple[float, float] | None = None
    background: float | tuple[float, float, float] | None = None


@dataclass(frozen=True)
class ImageInfo:
    """What a file says about itself.

    Attributes:
        format: ``PNG``, ``JPEG``, ``TIFF``, ..
        mode: Mode of the samples, in Pillow's names: ``L``, ``LA``, ``P``, ``RGB``, ``CMYK``, ..
        bits: Bits that a sample has in the file; 32 or 64 for floats.
        width: Pixels of a row as stored, before the orientation is applied.
        height: Number of rows as stored.
        num_pages: Images in the file, of which the first is read.
    """

    format: str
    mode: str
    bits: int
    width: int
    height: int
    num_pages: int = 1


@dataclass(frozen=True)
class ImageFile:
    """The image in a file.

    Attributes:
        pixels: ``(H, W, C)``, upright; uint8 if a sample has up to 8 bits, which are spread over
            0 to 255; else uint16, with the values that are in the file.
        bits: The value of white is ``2**bits - 1``.
        info: What the file says about itself.
    """

    pixels: np.ndarray
    bits: int
    info: ImageInfo


@dataclass(frozen=True)
class _Samples:
    """Samples as they are in a file; the last of an even number of channels is alpha."""

    values: np.ndarray  # (H, W, C)
    info: ImageInfo
    orientation: int = 1
    is_premultiplied: bool = False


def read_content(path: Path) -> bytes:
    """Return the bytes of ``path``.

    Raises:
        ImageFileError: It is no file.
        OSError: It cannot be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ImageFileError("is not a file")  # a folder, or a pipe, which would block
    return path.read_bytes()


def decode_image(content: bytes, options: ReadOptions = ReadOptions()) -> ImageFile:
    """Return the image in the content of a file.

    Raises:
        ImageFileError: It is not read, for a reason that is known.
        Exception: It is damaged: decoders raise many kinds.
        MemoryError: The image does not fit into memory.
    """
    if not content:
        raise ImageFileError("is empty")
    return _finished(_samples(content), options)


def image_of_array(
    values: np.ndarray, format: str, options: ReadOptions = ReadOptions()
) -> ImageFile:
    """Return the image in an array.

    Args:
        values: ``(H, W)`` or ``(H, W, C)``; C is 1, 2, 3 or 4, the last of 2 or 4 is alpha. Any
            real dtype: integers and floats are read as those of files are.
        format: Name of the format of the file that it comes from.
        options: As for files.

    Raises:
        ImageFileError: It has another shape, or values that the options do not cover.
    """
    if values.ndim == 2:
        values = values[..., None]
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}.get(values.shape[-1])
    if values.ndim != 3 or 0 in values.shape or mode is None or values.dtype.kind not in "buif":
        shape = "x".join(map(str, values.shape))
        raise ImageFileError(f"is {shape} {values.dtype}; grey, RGB and each with alpha are read")
    bits = 8 * values.dtype.itemsize
    if values.dtype.kind == "b":
        values, bits = values.astype(np.uint8) * np.uint8(255), 1
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    info = ImageInfo(format, mode, bits, values.shape[1], values.shape[0])
    return _finished(_Samples(values, info), options)


def _finished(samples: _Samples, options: ReadOptions) -> ImageFile:
    """Return the samples upright, without alpha, as integers."""
    values, bits = samples.values, samples.info.bits
    if values.dtype == np.uint8:
        bits = 8
    elif values.dtype != np.uint16:
        values, bits = _in_range(values, options.range), 16
    values = _upright(values, samples.orientation)
    if values.shape[2] in (2, 4):
        values = _without_alpha(values, bits, samples.is_premultiplied, options.background)
    return ImageFile(np.ascontiguousarray(values), bits, samples.info)


def _samples(content: bytes) -> _Samples:
    if content[:4] in _TIFF:
        deep = _deep_tiff(content)
        if deep is not None:
            return deep
    with Image.open(io.BytesIO(content)) as image:
        if content[:8] == _PNG and content[24] == 16:  # the depth that the header states
            return _deep_png(content, image)
        if content[:2] in _DEEP_PPM and _largest_sample(content) > 255:
            return _deep_ppm(content, image)
        return _pillow(image)


def _pillow(image: Image.Image) -> _Samples:
    bits = 1 if image.mode == "1" else 8
    info = ImageInfo(
        image.format or "?",
        image.mode,
        bits,
        *image.size,
        num_pages=getattr(image, "n_frames", 1),
    )
    image.load()
    orientation = image.getexif().get(_ORIENTATION, 1)  # after the load, which turns a TIFF
    if image.mode == "RGBX":
        raise ImageFileError("has a fourth channel that is not called alpha; save it as RGB")
    if image.mode == "F" or image.mode[0] == "I":
        values = np.asarray(image)
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        bits = 8 * values.itemsize
        return _Samples(values[..., None], replace(info, bits=bits), orientation)
    values = np.asarray(_resolved(image))
    return _Samples(values.reshape(*values.shape[:2], -1), info, orientation)


def _resolved(image: Image.Image) -> Image.Image:
    """Return the image in one of the modes L, LA, RGB and RGBA."""
    if image.mode in ("La", "RGBa"):
        return image.convert(_RESOLVED[image.mode])
    is_grey = image.mode in ("1", "L", "LA")
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image  # a conversion would copy it
    if image.has_transparency_data:
        return image.convert("LA" if is_grey else "RGBA")
    return image.convert("L" if is_grey else "RGB")


def _deep_png(content: bytes, image: Image.Image) -> _Samples:
    from imagecodecs import png_decode

    orientation = image.getexif().get(_ORIENTATION, 1)
    if "transparency" in image.info:
        raise ImageFileError("has 16 bits and a colour that stands for transparent; save an alpha")
    values = png_decode(content)
    values = values.reshape(*values.shape[:2], -1)
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[values.shape[2]]
    return _Samples(values, ImageInfo("PNG", mode, 16, *image.size), orientation)


def _largest_sample(content: bytes) -> int:
    """Return the largest value that the header of a PPM or PGM file allows."""
    numbers: list[bytes] = []
    for line in content[2:200].split(b"\n"):
        numbers += line.partition(b"#")[0].split()
    return int(numbers[2]) if len(numbers) > 2 and numbers[2].isdigit() else 0


def _deep_ppm(content: bytes, image: Any) -> _Samples:
    channels, most = _DEEP_PPM[content[:2]], _largest_sample(content)
    width, height = image.size
    count, start = width * height * channels, image.tile[0].offset
    if content[:2] in _PLAIN_PPM:
        values = np.array(content[start:].split()[:count], dtype=np.int64)
    else:
        values = np.frombuffer(content[start:], ">u2", count=min(count, len(content[start:]) // 2))
    if len(values) < count:
        raise ImageFileError(f"holds {len(values)} of {count} samples")
    if int(values.max()) > most or int(values.min()) < 0:
        raise ImageFileError(f"holds the value {values.max()}, more than the {most} in its header")
    mode = "L" if channels == 1 else "RGB"
    info = ImageInfo("PPM", mode, most.bit_length(), width, height)
    return _Samples(values.astype(np.uint16).reshape(height, width, channels), info)


def _deep_tiff(content: bytes) -> _Samples | None:
    """Return the samples of a TIFF file, None if Pillow keeps all of them: 8-bit integers."""
    from tifffile import TiffFile

    # It logs each odd tag; what matters is raised.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    with TiffFile(io.BytesIO(content)) as file:
        page: Any = file.pages[0]
        bits = int(np.max(page.bitspersample))
        kind = None if page.dtype is None else page.dtype.kind
        if bits <= 8 and kind in ("u", "b", None):
            return None
        if page.imagewidth * page.imagelength > 2 * (Image.MAX_IMAGE_PIXELS or np.inf):
            raise ImageFileError(f"has {page.imagewidth}x{page.imagelength} pixels: too many")
        values = _with_channels_last(page)
        photometric = page.photometric.name
        if photometric == "MINISWHITE":
            if kind != "u":
                raise ImageFileError(
                    "has white as its least value; save it with black as the least"
                )
            values = values.dtype.type(2**bits - 1) - values
        channels, alpha = _channels(page, values.shape[2])
        mode = ("RGB" if channels == 3 else "L") + ("A" if alpha else "")
        if kind != "u" or bits > 16:  # measured values
            if alpha:
                raise ImageFileError(f"has {bits}-bit values with alpha; save it without alpha")
            mode = {"f": "F", "i": "I", "u": "I"}[kind or ""] + (";RGB" if channels == 3 else "")
        size = (page.imagewidth, page.imagelength)
        orientation = page.tags.get(_ORIENTATION)
        return _Samples(
            values,
            ImageInfo("TIFF", mode, bits, *size, num_pages=len(file.pages)),
            1 if orientation is None else int(orientation.value),
            is_premultiplied=alpha == "ASSOCALPHA",
        )


def _with_channels_last(page: Any) -> np.ndarray:
    """Return the samples of a page of a TIFF file, ``(H, W, C)``."""
    axes = page.axes
    if axes not in ("YX", "YXS", "SYX"):
        raise ImageFileError(f"holds more than one image (axes {axes}); save each as a file")
    values: np.ndarray = page.asarray()
    if axes == "YX":
        return values[..., None]
    return np.moveaxis(values, 0, -1) if axes == "SYX" else values


def _channels(page: Any, num_samples: int) -> tuple[int, str | None]:
    """Return the number of channels and the kind of alpha, None without one."""
    photometric = page.photometric.name
    channels = {"MINISBLACK": 1, "MINISWHITE": 1, "RGB": 3}.get(photometric)
    if channels is None:
        raise ImageFileError(
            f"is {photometric} of more than 8 bits, which is not read; save it as RGB"
        )
    extra = [sample.name for sample in page.extrasamples]
    if num_samples == channels:
        return channels, None
    if num_samples != channels + 1 or extra not in (["UNASSALPHA"], ["ASSOCALPHA"]):
        raise ImageFileError(f"has {num_samples} channels; grey, RGB and each with alpha are read")
    return channels, extra[0]


def _in_range(values: np.ndarray, low_high: tuple[float, float] | None) -> np.ndarray:
    """Return measured values as uint16: 0 for the low end of the range, 65535 for the high end."""
    if low_high is None:
        raise ImageFileError(
            f"holds {values.dtype} values, {values.min():g} to {values.max():g}: "
            "data/range: [low, high] says which are black and white"
        )
    low, high = low_high
    least, most = values.min(), values.max()
    if not (least >= low and most <= high):  # also for NaN
        raise ImageFileError(
            f"holds values from {least:g} to {most:g}, outside data/range: [{low:g}, {high:g}]"
        )
    scaled = (values.astype(np.float64) - low) * (_TOP / (high - low))
    return np.rint(scaled).astype(np.uint16)


def _upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """Return the image as a person sees it, from the eight orientations of EXIF."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values


def _without_alpha(
    values: np.ndarray,
    bits: int,
    is_premultiplied: bool,
    background: float | tuple[float, float, float] | None,
) -> np.ndarray:
    """Return the image on the background; an image that is opaque all over needs none."""
    top = 2**bits - 1
    colours, alpha = values[..., :-1], values[..., -1:]
    if int(alpha.min()) == top:
        return colours
    if background is None:
        raise ImageFileError(
            "has transparent pixels; data/background: 0.0 puts them on black, 1.0 on white, "
            "[r, g, b] on a colour"
        )
    behind = np.asarray(background, dtype=np.float64).reshape(-1)
    if colours.shape[2] == 1 and len(behind) == 3:
        behind = behind @ (0.299, 0.587, 0.114)
    share = alpha / top
    seen = colours * (1.0 if is_premultiplied else share) + (1 - share) * behind * top
    result: np.ndarray = np.rint(seen).clip(0, top).astype(values.dtype)
    return result
