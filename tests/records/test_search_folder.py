import threading
from concurrent.futures import ThreadPoolExecutor
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
    reserved_name,
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


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 300])
def test_an_output_folder_that_no_disk_can_have_is_one_clear_line(
    tmp_path: Path, name: str
) -> None:
    for given in (None, "mine-1"):
        with pytest.raises(RecordsError, match="cannot be made: ") as caught:
            with reserved_name(tmp_path / name, given, "made") as found:
                create_folder(tmp_path / name, found)
        assert str(caught.value).isprintable()


def test_every_file_is_inside_the_folder(tmp_path: Path) -> None:
    folder = create_folder(tmp_path, "first")
    paths = [
        *(folder.search_file, folder.trials, folder.history, folder.front),
        *(folder.report, folder.front_png, folder.checkpoints, folder.mlflow),
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


def test_an_unknown_search_is_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
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


def test_the_folder_of_a_search_killed_at_once_can_be_reused(tmp_path: Path) -> None:
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


def test_searches_that_start_at_the_same_time_get_different_names(tmp_path: Path) -> None:
    out = tmp_path / "out"
    start = threading.Barrier(16)

    def reserve(_: int) -> str:
        with reserved_name(out, None, "digits") as name:
            start.wait()  # all have one by now
            create_folder(out, name).search_file.write_text("x", encoding="utf-8")
            return name

    with ThreadPoolExecutor(16) as pool:
        names = list(pool.map(reserve, range(16)))
    assert sorted(names) == sorted(f"digits-{number}" for number in range(1, 17))
    assert sorted(list_searches(out)) == sorted(names)


def test_a_search_that_is_still_starting_is_named_as_such(tmp_path: Path) -> None:
    create_folder(tmp_path, "early")
    with pytest.raises(RecordsError, match=r"early has no search.yaml: .* still starting"):
        open_folder(tmp_path, "early")


def test_a_name_that_was_reserved_for_nothing_is_free_again(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def start() -> None:
        with reserved_name(out, None, "digits") as name:
            assert (out / name).is_dir()
            raise RecordsError("no cluster")

    with pytest.raises(RecordsError, match="no cluster"):
        start()
    assert not out.exists()


def test_a_name_of_the_users_own_is_not_reserved_but_checked(tmp_path: Path) -> None:
    with reserved_name(tmp_path, "mine", "digits") as name:
        assert name == "mine"
        assert not (tmp_path / "mine").exists()
    make_search(tmp_path, "mine")
    with pytest.raises(RecordsError, match="exists already"), reserved_name(tmp_path, "mine", ""):
        pass
