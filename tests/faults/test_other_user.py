"""What a search keeps from other users of its host, tried by one of them."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.other_user import can_be_played, what_is_open
from tests.faults.search_process import SearchProcess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not can_be_played(), reason="only root can start programs of another user"),
]


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that others can enter, unlike those of pytest, so that it is not what stops them."""
    with tempfile.TemporaryDirectory(prefix="tunebox-home-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_another_user_can_neither_read_nor_write_nor_call(home: Path) -> None:
    search = SearchProcess(home, "--address", "local", "--max-epochs", "100000")
    process = search.start()
    try:
        search.wait_for("reported", 1)
        assert process.poll() is None
        assert what_is_open(process.pid, search.folder) == []
        search.out.chmod(0o777)  # what the user opens is open: the other one was asked
        assert what_is_open(process.pid, search.folder) == [f"writes to {search.out}"]
    finally:
        process.send_signal(signal.SIGINT)
        code, stdout, stderr = search.finish()
    assert (code, stderr) == (130, ""), stdout
