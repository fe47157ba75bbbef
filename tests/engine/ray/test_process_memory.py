"""What a process took, against what the system says and what was allocated."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest

from tunebox.engine.ray.process_memory import peak_memory

MIB = 2**20


def test_pages_of_files_do_not_count(tmp_path: Path) -> None:
    status = tmp_path / "status"
    text = "Name:\tx\nVmHWM:\t  900 kB\nRssAnon:\t 100 kB\nRssFile:\t 300 kB\nRssShmem:\t 50 kB\n"
    status.write_text(text, encoding="ascii")
    assert peak_memory(status) == 550 * 1024


@pytest.mark.parametrize("text", ["", "VmHWM: 1 kB", "VmHWM:\nRssFile: 1 kB\nRssShmem: 1 kB"])
def test_it_is_not_known_where_the_system_does_not_say(text: str, tmp_path: Path) -> None:
    status = tmp_path / "status"
    assert peak_memory(status) is None
    status.write_text(text, encoding="ascii")
    assert peak_memory(status) is None


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_what_was_freed_counts_still() -> None:
    before = peak_memory()
    assert before is not None
    size = before + 64 * MIB  # more than was ever taken and freed
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    with mmap.mmap(-1, size, flags=private) as pages:
        for place in range(0, size, mmap.PAGESIZE):
            pages[place] = 1
    after = peak_memory()
    assert after is not None
    assert after - before >= 32 * MIB
