"""``tunebox sync`` on a folder in which other files than the journal are damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import mlflow_runs
from tests.foreign_files import make_search
from tunebox.records.search_folder import SearchFolder
from tunebox.verbs.sync import sync


@pytest.mark.parametrize("damage", [b"[" * 100_000, b"{", b"\xff\x00", b'{"format": 99}'])
def test_an_end_that_cannot_be_read_is_known_from_the_journal(
    tmp_path: Path, make_store: Callable[[Path], str], damage: bytes
) -> None:
    folder = SearchFolder(make_search(tmp_path))
    make_store(folder.root.parent)
    folder.run_end.write_bytes(damage)
    result = sync(folder.name, out=folder.root.parent)
    assert (result.num_waiting, result.error, result.refusals) == (0, None, [])
    [line] = [line for line in result.warnings if "end.json" in line]
    assert line.isprintable()
    runs = mlflow_runs(folder.root.parent, "tags.`tunebox.kind` = 'search'")
    assert [run.info.status for run in runs] == ["FINISHED"]
    assert folder.run_end.read_bytes() == damage
