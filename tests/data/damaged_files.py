"""Files that are no images, or no longer, in many ways."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.data.image_files import GREY16, RGB16, RGBA16, png, ppm, random, tiff

Write = Callable[[Path], object]

BIG = random((40, 40, 3))


def encoded(format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(BIG).save(buffer, format, **options)
    return buffer.getvalue()


WHOLE = {
    "png": encoded("PNG"),
    "jpg": encoded("JPEG"),
    "webp": encoded("WEBP"),
    "bmp": encoded("BMP"),
    "tif": encoded("TIFF"),
    "ppm": encoded("PPM"),
    "deep.png": png(np.kron(RGB16, np.ones((9, 9, 1), np.uint16))),
    "deep.tif": tiff(RGB16, photometric="rgb"),
    "deep_grey.tif": tiff(GREY16, compression="zlib"),
    "deep.ppm": ppm(RGB16, 65535),
}


def chunked_png(width: int, height: int, depth: int, colour: int, data: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _bytes(content: bytes) -> Write:
    return lambda path: path.write_bytes(content)


def _flipped(content: bytes, place: float) -> bytes:
    """Overwrite 16 bytes at a place, a share of the length."""
    start = int(len(content) * place)
    return (
        content[:start]
        + bytes(255 - b for b in content[start : start + 16])
        + content[start + 16 :]
    )


def _link(path: Path) -> None:
    path.symlink_to(path.parent / "absent.png")


def damaged() -> dict[str, Write]:
    """Return a function for each file, by its name, that writes it."""
    made: dict[str, Write] = {}
    for name, content in WHOLE.items():
        for share in (0.1, 0.5, 0.9):
            kept = content[: max(9, int(len(content) * share))]
            made[f"cut_to_{share}.{name}"] = _bytes(kept)
    for suffix in ("png", "jpg", "tif", "webp", "bmp"):
        made[f"empty.{suffix}"] = _bytes(b"")
        made[f"zeros.{suffix}"] = _bytes(bytes(2000))
        made[f"text.{suffix}"] = _bytes(b"<html>404 Not Found</html>\n" * 20)
        made[f"magic_only.{suffix}"] = _bytes(WHOLE[suffix][:8])
        made[f"folder.{suffix}"] = Path.mkdir
    bomb = chunked_png(60000, 60000, 8, 0, b"\0" * 1000)
    made["bomb.png"] = _bytes(bomb)
    made["deep_bomb.png"] = _bytes(chunked_png(60000, 60000, 16, 2, b"\0" * 1000))
    made["no_pixels.png"] = _bytes(chunked_png(10, 10, 8, 2, b""))
    made["flipped.png"] = _bytes(_flipped(WHOLE["png"], 0.5))
    made["flipped_deep.png"] = _bytes(_flipped(WHOLE["deep.png"], 0.5))
    made["odd_depth.png"] = _bytes(chunked_png(10, 10, 7, 0, b"\0" * 1000))
    made["no_size.png"] = _bytes(chunked_png(0, 0, 8, 0, b""))
    made["header.ppm"] = _bytes(b"P6\n40 x\n255\n" + bytes(4800))
    made["few.ppm"] = _bytes(b"P6\n40 40\n65535\n" + bytes(100))
    made["above.pgm"] = _bytes(b"P5\n2 2\n1000\n" + struct.pack(">4H", 1, 2, 3, 1001))
    made["offset.tif"] = _bytes(WHOLE["deep.tif"][:4] + struct.pack("<I", 10**9))
    made["loop.tif"] = _bytes(WHOLE["tif"][:4] + struct.pack("<I", 4) + bytes(100))
    made["ink.tif"] = _bytes(tiff(RGBA16, photometric="separated"))
    made["float.tif"] = _bytes(tiff(GREY16.astype(np.float32)))
    made["clear.png"] = _bytes(png(random((5, 5, 4))))
    made["link.png"] = _link
    made["pipe.png"] = lambda path: os.mkfifo(path)
    made["archive.png"] = _bytes(b"PK\3\4" + bytes(200))
    return made
