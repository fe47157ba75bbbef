"""A checksum in the YAML that tunebox writes, as a comment at its end; a file by hand has none."""

import zlib

_MARK = "# crc32 of the lines above: "
_REST = " (remove this line if you change them)\n"


def with_checksum(text: str) -> str:
    """Return ``text``, which ends in a line break, with its checksum behind it."""
    return f"{text}{_MARK}{_crc(text)}{_REST}"


def is_changed(text: str) -> bool:
    """Return whether ``text`` has a checksum that does not fit what stands before it."""
    # wherever it stands: the line break before it may be what is damaged
    before, mark, behind = text.rpartition(_MARK)
    return bool(mark) and not behind.startswith(_crc(before))


def _crc(text: str) -> str:
    return f"{zlib.crc32(text.encode(errors='surrogateescape')):08x}"
