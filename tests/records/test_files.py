import os
import stat
from pathlib import Path

import pytest

from tunebox.errors import RecordsError
from tunebox.records.files import check_format, replacing, write_text


def test_the_new_file_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    write_text(path, "new ü")
    assert path.read_text(encoding="utf-8") == "new ü"
    assert list(tmp_path.iterdir()) == [path]


def test_after_an_error_the_old_file_is_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:  # noqa: PT012
        temporary.write_text("half", encoding="utf-8")
        raise KeyboardInterrupt
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "text")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_a_file_of_a_newer_version_is_one_line(tmp_path: Path) -> None:
    for content in ({}, {"format": 1}, {"format": 2}):
        check_format(tmp_path / "a.json", content, 2)
    for newer in (3, "3", None):
        expected = f"a.json has format {newer!r}, made by a newer tunebox; update tunebox"
        with pytest.raises(RecordsError, match=expected):
            check_format(tmp_path / "a.json", {"format": newer}, 2)
