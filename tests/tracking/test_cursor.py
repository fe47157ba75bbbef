import json
from pathlib import Path

import pytest

from tunebox.errors import RecordsError
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.tracking.cursor import Cursor


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    return create_folder(tmp_path / "out", "s-1")


def opened(folder: SearchFolder, uri: str = "http://host", has_past: bool = False) -> Cursor:
    cursor = Cursor(folder, uri)
    cursor.open(has_past)
    return cursor


def test_what_was_noted_is_there_in_the_next_process(folder: SearchFolder) -> None:
    cursor = opened(folder)
    cursor.run_id, cursor.files = "r0", {"front.html": "1-2"}
    cursor.note_creating(["a", None])
    for _ in range(2):
        again = opened(folder, "http://other", has_past=True)
        assert (again.search_id, again.tracking_uri) == (cursor.search_id, "http://host")
        assert (again.run_id, again.files) == ("r0", {"front.html": "1-2"})
        assert again.creating == cursor.creating
        assert again.creating.keys() == {"a", None}
        assert again.warnings == []


@pytest.mark.parametrize("content", [b"\0" * 40, b"[1]\n", b'{"format": 2}\n', b'"x"\n', b""])
def test_a_file_that_makes_no_sense_is_started_anew(folder: SearchFolder, content: bytes) -> None:
    folder.journal.write_bytes(b'{"format": 1}\n{"event": "search_started", "pid": 7}\n')
    first = opened(folder)
    folder.mlflow.write_bytes(content)
    again = opened(folder, has_past=True)
    assert again.search_id == first.search_id  # the journal knows which search it is
    assert len(again.warnings) == 1
    assert "looked up in MLflow" in again.warnings[0]


def test_two_searches_of_a_name_are_told_apart(tmp_path: Path) -> None:
    ids = set()
    for number in range(3):
        folder = create_folder(tmp_path / str(number), "s-1")
        if number:
            folder.journal.write_text(f'{{"format": 1}}\n{{"pid": {number}}}\n', encoding="utf-8")
        ids.add(opened(folder).search_id)
    assert len(ids) == 3


def test_a_file_of_a_later_version_is_not_touched(folder: SearchFolder) -> None:
    for more in ({}, {"search_id": "x", "tracking_uri": "y"}):
        folder.mlflow.write_text(json.dumps({"format": 3, **more}) + "\n", encoding="utf-8")
        before = folder.mlflow.read_bytes()
        with pytest.raises(RecordsError, match="has format 3, made by a newer tunebox"):
            Cursor(folder, "")
        assert folder.mlflow.read_bytes() == before


def test_a_full_disk_is_a_warning(folder: SearchFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tunebox.tracking.cursor.write_json", full)
    cursor = opened(folder)
    cursor.note_creating(["a"])
    assert cursor.warnings == [f"{folder.mlflow}: not written: No space left on device"]


def test_a_database_moves_with_the_folder(folder: SearchFolder, tmp_path: Path) -> None:
    opened(folder, f"sqlite:///{tmp_path}/out/mlflow.db")
    assert str(tmp_path) not in folder.mlflow.read_text(encoding="utf-8")
    (tmp_path / "out").rename(tmp_path / "moved")
    moved = Cursor(SearchFolder(tmp_path / "moved" / "s-1"), "")
    assert moved.tracking_uri == f"sqlite:///{tmp_path}/moved/mlflow.db"


OUTBOX = [
    {"format": 1, "version": "0.1.0", "search_id": "the-id", "tracking_uri": "http://old"},
    {"number": 1, "operation": "StartSearch", "name": "s", "params": {}, "tags": {}, "time": 1.0},
    {"creating": None, "time": 1.0},
]


def test_the_outbox_of_version_0_1_0_is_taken_over(folder: SearchFolder) -> None:
    lines = [json.dumps(line) for line in OUTBOX]
    folder.outbox.write_text("\n".join([*lines, '{"number": 2, "oper']), encoding="utf-8")
    for _ in range(2):
        cursor = opened(folder, "http://new", has_past=True)
        assert (cursor.search_id, cursor.tracking_uri) == ("the-id", "http://old")
        folder.outbox.unlink(missing_ok=True)


def test_the_ids_of_version_0_1_0_are_taken_over(folder: SearchFolder) -> None:
    ids = {"format": 1, "tracking_uri": "sqlite:///{out}/mlflow.db", "parent_run_id": "r0"}
    folder.mlflow.write_text(json.dumps({**ids, "search_id": "x"}, indent=2), encoding="utf-8")
    cursor = opened(folder, has_past=True)
    assert (cursor.search_id, cursor.run_id) == ("x", "r0")
    assert cursor.tracking_uri == f"sqlite:///{folder.root.parent}/mlflow.db"
