from __future__ import annotations

from benchmarks import fault_overhead
from tunebox.records.journal import JournalWriter
from tunebox.verbs import running


def test_what_is_left_out_is_where_searches_find_it() -> None:
    assert vars(running)["JournalWriter"] is JournalWriter
    with fault_overhead.without():
        assert vars(running)["JournalWriter"] is not JournalWriter
    assert vars(running)["JournalWriter"] is JournalWriter
