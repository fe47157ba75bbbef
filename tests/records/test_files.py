import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tunebox.errors import RecordsError
from tunebox.records.files import check_format, remove_unfinished, replacing, write_text


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


def test_what_a_killed_process_leaves_is_removed(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "whole")
    program = (
        "import os, sys; from pathlib import Path; from tunebox.records.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as path:\n    os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.txt")], check=False)
    kept = {"a.txt", ".notes", "b.part"}
    for name in kept - {"a.txt"}:
        (tmp_path / name).touch()
    assert len(list(tmp_path.iterdir())) == len(kept) + 1
    remove_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_content_and_name_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def fsync(file: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{file}"))

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "a.txt", "text")
    [content, folder] = synced
    assert Path(content).name.startswith(".a.txt.")  # before it takes the place
    assert folder == str(tmp_path)


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
