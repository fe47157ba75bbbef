"""Checksums in JSON: a bit that flips on a disk must not become another value unnoticed.

The last field of an object is ``crc``: the CRC-32 of the object's bytes without that field, in
eight hexadecimal digits.
"""

import zlib
from collections.abc import Mapping
from typing import Any

_LENGTH = len(b', "crc": "00000000"}')


def with_crc(content: bytes) -> bytes:
    """Return a JSON object, which has fields and ends in its brace, with the field ``crc``."""
    return b'%b, "crc": "%08x"}' % (content[:-1], zlib.crc32(content))


def has_crc(content: bytes) -> bool:
    """Return whether `with_crc` made ``content``, and every bit is as it was; ignores its end."""
    content = content.rstrip(b"\n")
    return content == with_crc(content[:-_LENGTH] + b"}")


def is_intact(content: bytes, fields: Mapping[str, Any], newest: int) -> bool:
    """Return whether an object with a format number has its checksum, or is too old to have one.

    An object that has lost the name of its checksum is recognised by its format, and one that has
    lost its format by the checksum.

    Args:
        content: The object as it is in the file.
        fields: What JSON makes of it.
        newest: The newest format, which has brought the checksum.
    """
    return has_crc(content) or ("crc" not in fields and fields.get("format", 1) != newest)
