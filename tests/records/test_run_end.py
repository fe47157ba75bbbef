from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tunebox.errors import RecordsError
from tunebox.records.run_end import RunEnd, read_run_end, write_run_end

END = RunEnd(
    tracking_uri="http://server",
    interrupted=False,
    ended="--trials 3 are spent",
    is_complete=True,
    go_on=" --trials 9",
    warnings=["one", "zwei: ü"],
    trouble=None,
    traceback="Traceback:\n  line\n",
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "end.json"
    assert read_run_end(path) is None
    for end in (END, replace(END, interrupted=True, trouble="three failed", warnings=[])):
        write_run_end(path, end)
        assert read_run_end(path) == end


def test_a_folder_that_is_gone_is_no_error(tmp_path: Path) -> None:
    write_run_end(tmp_path / "absent" / "end.json", END)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"tracking_uri": 1}', "\xff"])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "end.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(RecordsError, match=r"end\.json cannot be read"):
        read_run_end(path)


def test_a_file_of_a_newer_version_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "end.json"
    path.write_text('{"format": 3}', encoding="utf-8")
    with pytest.raises(RecordsError, match=r"end\.json has format 3, made by a newer tunebox"):
        read_run_end(path)
