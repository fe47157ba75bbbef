from pathlib import Path

import pytest

from tunebox.errors import RecordsError
from tunebox.records.journal import make_journal, read_journal
from tunebox.records.lock import locked
from tunebox.records.search_folder import (
    check_free,
    create_folder,
    list_searches,
    next_free_name,
    open_folder,
)


def make_search(out: Path, name: str) -> None:
    create_folder(out, name).search_file.write_text("data: {kind: digits}\n", encoding="utf-8")


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    folder = create_folder(tmp_path / "out", "first")
    assert folder.root.is_dir()
    assert folder.name == "first"
    (folder.root / "kept.txt").write_text("", encoding="utf-8")
    with pytest.raises(RecordsError, match=r"first exists already; choose .* --name"):
        create_folder(tmp_path / "out", "first")


def test_a_file_in_the_way_of_the_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("", encoding="utf-8")
    with pytest.raises(RecordsError):
        create_folder(tmp_path / "out", "first")


def test_every_file_is_inside_the_folder(tmp_path: Path) -> None:
    folder = create_folder(tmp_path, "first")
    paths = [
        *(folder.search_file, folder.trials, folder.history, folder.front),
        *(folder.front_html, folder.front_png, folder.checkpoints, folder.mlflow_ids),
        *(folder.journal, folder.lock, folder.errors, folder.outbox, folder.warm_start),
    ]
    assert len(set(paths)) == len(paths)
    assert {path.parent for path in paths} == {folder.root}


def test_the_next_free_name_comes_after_the_highest_number(tmp_path: Path) -> None:
    assert next_free_name(tmp_path / "absent", "digits") == "digits-1"
    for name in ("digits-2", "digits-10", "digits-x", "digits", "digits-long-99"):
        (tmp_path / name).mkdir()
    assert next_free_name(tmp_path, "digits") == "digits-11"
    assert next_free_name(tmp_path, "digits-long") == "digits-long-100"
    assert next_free_name(tmp_path, "di[g]its") == "di[g]its-1"


def test_a_search_that_is_there_is_opened(tmp_path: Path) -> None:
    make_search(tmp_path, "b")
    make_search(tmp_path, "a")
    (tmp_path / "mlartifacts").mkdir()
    assert open_folder(tmp_path, "a").root == tmp_path / "a"
    assert list_searches(tmp_path) == ["a", "b"]
    assert list_searches(tmp_path / "absent") == []


def test_an_unknown_search_is_told_with_those_that_are_there(tmp_path: Path) -> None:
    make_search(tmp_path, "a")
    with pytest.raises(RecordsError, match=r"no search 'c' in .*; it has a; --out names"):
        open_folder(tmp_path, "c")
    with pytest.raises(RecordsError, match="it has none"):
        open_folder(tmp_path / "absent", "c")


@pytest.mark.parametrize("name", ["../a", "..", ".", "", "sub/../a"])
def test_a_name_does_not_lead_out_of_the_output_folder(tmp_path: Path, name: str) -> None:
    make_search(tmp_path, "a")
    (tmp_path / "search.yaml").write_text("", encoding="utf-8")
    (tmp_path / "out").mkdir()
    with pytest.raises(RecordsError, match="no search"):
        open_folder(tmp_path / "out", name)


def test_what_a_search_killed_in_its_first_moment_left_is_in_nobodys_way(tmp_path: Path) -> None:
    folder = create_folder(tmp_path, "first")
    folder.lock.write_text("{}")
    make_journal(folder.journal, "first")
    (folder.root / ".search.yaml.abc").write_text("half")
    check_free(tmp_path, "first")
    assert list(create_folder(tmp_path, "first").root.iterdir()) == []
    make_journal(folder.journal, "first")
    with locked(folder.lock), pytest.raises(RecordsError, match="is in use by process"):
        check_free(tmp_path, "first")
    make_journal(folder.journal, "first")
    folder.search_file.write_text("x: 1\n")  # from here on it can be resumed
    with pytest.raises(RecordsError, match=r"go on with it \(--resume first\)"):
        check_free(tmp_path, "first")
    assert read_journal(folder.journal).events == []
