"""Parquet files with a checksum of the whole file.

Parquet's own checksums are those of the content of pages: no reader would notice a bit that flips
in the header of a page, or in the footer with its types, offsets and metadata. So the CRC-32 of the
file without it stands between the last page and the footer, where Parquet's readers do not look:
they go by offsets.
"""

import io
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tunebox.errors import RecordsError, reading
from tunebox.records.files import replacing

_MARK = b"tunebox-crc32:"
_LENGTH = len(_MARK) + 8  # in hexadecimal digits
_ENDING = 8  # bytes: the length of the footer, and b"PAR1"


class DamagedTable(RecordsError):
    """A table that is missing, or not as it was written."""


def write_table(table: pa.Table, path: Path) -> None:
    """Write ``table`` to ``path`` atomically.

    Raises:
        OSError: The disk is full, or the folder is gone.
    """
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    content = buffer.getvalue()
    footer = _footer(content)
    mark = _MARK + b"%08x" % zlib.crc32(content)
    with replacing(path) as temporary:
        temporary.write_bytes(content[:footer] + mark + content[footer:])


def read_table(path: Path) -> tuple[pa.Table, bool]:
    """Return the table in ``path``, and whether it has a checksum, which was then right.

    Tables of version 0.1.0, and of other programs, have none.

    Raises:
        DamagedTable: It is missing, its checksum is wrong, or it is no Parquet file.
    """
    with reading(path, DamagedTable):
        return table_in(path.read_bytes())


def table_in(content: bytes) -> tuple[pa.Table, bool]:
    """Return the table in the content of a file, as `read_table` does.

    Raises:
        ValueError: Its checksum is wrong; any other exception may come for damaged content.
    """
    footer = _footer(content)
    mark = content[max(0, footer - _LENGTH) : footer]
    has_mark = mark.startswith(_MARK)
    if has_mark:
        content = content[: footer - _LENGTH] + content[footer:]
        if mark != _MARK + b"%08x" % zlib.crc32(content):
            raise ValueError("its checksum is wrong")
    file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    return file.read(), has_mark


def _footer(content: bytes) -> int:
    """Return where the footer begins; 0 or less in a file that has none."""
    return len(content) - _ENDING - int.from_bytes(content[-_ENDING:-4], "little")
