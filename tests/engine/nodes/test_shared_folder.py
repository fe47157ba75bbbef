from __future__ import annotations

from pathlib import Path

from tunebox.engine.nodes.shared_folder import marked_folder


def test_a_marked_folder_is_gone_afterwards(tmp_path: Path) -> None:
    with marked_folder(tmp_path / "out" / ".nodes") as mark:
        assert (Path(mark.folder) / "token").read_text() == mark.token
        assert not mark.is_written_by("a")
        (Path(mark.folder) / "a").write_text(mark.token)
        (Path(mark.folder) / "b").write_text("other")
        assert mark.is_written_by("a")
        assert not mark.is_written_by("b")
    assert list((tmp_path / "out").iterdir()) == []
