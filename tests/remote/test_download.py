from __future__ import annotations

from pathlib import Path

import pytest

from tests.remote.here import HereHead
from tests.remote.search_there import write_search
from tunebox.errors import RecordsError
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import read_log
from tunebox.remote.download import check_same_search, download_search
from tunebox.remote.head import HeadUnreachable
from tunebox.remote.remote_search import RemoteSearch


class FailingHead(HereHead):
    """Loses the connection after so many copies."""

    copies = 0

    def fetch(self, remote: str, local: Path, *filters: str) -> None:
        local.mkdir(parents=True, exist_ok=True)
        if self.copies == 0:
            (local / ".journal.jsonl.Ab12cD").touch()  # as rsync leaves it when it is killed
            raise HeadUnreachable("away")
        type(self).copies -= 1
        super().fetch(remote, local, *filters)


@pytest.fixture
def there(tmp_path: Path) -> SearchFolder:
    return write_search(tmp_path / "there", "s")


def remote(head: HereHead, there: SearchFolder) -> RemoteSearch:
    return RemoteSearch(head, "s", str(there.root))


@pytest.mark.parametrize("copies", [0, 1, 2])
def test_a_copy_that_was_broken_off_is_done_again(
    tmp_path: Path, there: SearchFolder, monkeypatch: pytest.MonkeyPatch, copies: int
) -> None:
    monkeypatch.setattr(FailingHead, "copies", copies)
    home = tmp_path / "home"
    with pytest.raises(HeadUnreachable):
        download_search(remote(FailingHead(), there), home)
    search = remote(HereHead(), there)
    check_same_search(search, home)
    folder = download_search(search, home)
    assert folder.root == home / "s"
    assert read_log(folder).trials == read_log(there).trials
    front = {trial.trial_id for trial in read_log(there).front()}
    assert {path.parent.name for path in folder.checkpoints.glob("*/*.pt")} == front
    assert front


def test_a_run_that_was_killed_does_not_end_as_the_one_before(
    tmp_path: Path, there: SearchFolder
) -> None:
    search = remote(HereHead(), there)
    assert download_search(search, tmp_path / "home").run_end.exists()
    there.run_end.unlink()  # as a resume does
    assert not download_search(search, tmp_path / "home").run_end.exists()


@pytest.mark.parametrize("file", ["trials.parquet", "notes.txt", "journal.jsonl"])
def test_what_is_of_another_search_stays_as_it_is(
    tmp_path: Path, there: SearchFolder, file: str
) -> None:
    mine = tmp_path / "home" / "s" / file
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(RecordsError, match="is not the search of the cluster"):
        check_same_search(remote(HereHead(), there), tmp_path / "home")
