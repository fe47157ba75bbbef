from __future__ import annotations

from benchmarks import fault_overhead
from tunebox.verbs import running


def test_what_is_left_out_is_where_searches_find_it() -> None:
    before = running.JournalWriter
    with fault_overhead.without():
        assert running.JournalWriter is not before
    assert running.JournalWriter is before
