from __future__ import annotations

import math
from pathlib import Path

import pytest

kept_results = pytest.importorskip("benchmarks.kept_results", exc_type=ImportError)


def never() -> dict[str, float]:
    raise AssertionError("was computed again")


def test_what_is_in_the_file_is_not_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "results.jsonl"
    first = kept_results.KeptResults(path, {"epochs": 3, "parts": (1, 2)})
    assert first.get("a", lambda: {"score": 0.5, "loss": math.nan}) == {"score": 0.5, "loss": None}
    assert first.get("a", never) == {"score": 0.5, "loss": None}
    again = kept_results.KeptResults(path, {"epochs": 3, "parts": (1, 2)})
    assert again.get("a", never) == {"score": 0.5, "loss": None}
    assert again.get("b", lambda: {"score": 1.0}) == {"score": 1.0}


def test_a_line_that_was_cut_off_is_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    results = kept_results.KeptResults(path, {})
    results.get("a", lambda: {"score": 1.0})
    results.get("b", lambda: {"score": 2.0})
    path.write_text(path.read_text()[:-5])
    again = kept_results.KeptResults(path, {})
    assert again.get("a", never) == {"score": 1.0}
    assert again.get("b", lambda: {"score": 3.0}) == {"score": 3.0}
    assert kept_results.KeptResults(path, {}).get("b", never) == {"score": 3.0}


@pytest.mark.parametrize("text", ['{"epochs": 4}\n', "no JSON\n", '{"epochs": 3}\n{"score": 1}\n'])
def test_results_of_another_setup_and_damaged_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(text)
    with pytest.raises(SystemExit, match=r"remove it"):
        kept_results.KeptResults(path, {"epochs": 3})
