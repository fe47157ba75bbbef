import binascii
import re
from contextlib import suppress
from pathlib import Path

import pytest

from tests.spec.make_spec import spec_of
from tunebox.errors import SearchFileError
from tunebox.spec.load import load_spec
from tunebox.spec.write import search_yaml
from tunebox.spec.yaml_source import read_yaml


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "search.yaml"
    path.write_text(search_yaml(spec_of()), encoding="utf-8")
    return path


def test_the_last_line_is_the_checksum_of_the_others(path: Path) -> None:
    *lines, last = path.read_bytes().splitlines(keepends=True)
    found = re.fullmatch(rb"# crc32 of the lines above: ([0-9a-f]{8}) \(.*\)\n", last)
    assert found is not None
    assert int(found[1], 16) == binascii.crc32(b"".join(lines))


def test_a_change_is_one_line_until_the_checksum_is_removed(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    changed = text.replace("max_epochs: ", "max_epochs: 1")
    assert changed != text
    path.write_text(changed, encoding="utf-8")
    with pytest.raises(SearchFileError, match="not as tunebox wrote it: put it back, or remove"):
        load_spec(str(path))
    path.write_text(changed[: changed.rindex("# crc32")], encoding="utf-8")
    before = spec_of().search.max_epochs
    assert load_spec(str(path)).search.max_epochs == int(f"1{before}")


def test_every_flipped_bit_is_seen_or_harmless(path: Path) -> None:
    content, data = path.read_bytes(), read_yaml(path).data
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        with suppress(SearchFileError):
            assert read_yaml(path).data == data, place
