from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.test_confirmed_searches import SPACE

best_method = pytest.importorskip("benchmarks.best_method", exc_type=ImportError)


def outcome(**truth: list[float]) -> Any:
    return best_method.Outcome("both", "ours", truth, {"both": 3, "ours": 4})


def test_true_best_method_leads_by_its_mean() -> None:
    found = outcome(both=[0.60, 0.62], ours=[0.70, 0.72], stability=[0.1, 0.2])
    assert found.by_truth == "ours"
    assert found.loss("ours") == 0
    assert found.loss("both") == pytest.approx(10)
    # each mean has the variance 0.01^2
    assert found.lead == pytest.approx(0.1 / math.sqrt(2 * 0.01**2))
    assert outcome(ours=[0.5, 0.6]).lead == math.inf


def test_a_method_has_the_score_of_the_better_of_its_named_trials() -> None:
    by_table = best_method.Named({"both": "0", "ours": "1"}, "ours")
    by_confirm = best_method.Named({"both": "2", "ours": "1", "stability": "3"}, "both")
    scores = {"0": [0.4, 0.6], "1": [0.3, 0.3], "2": [0.6, 0.6], "3": [0.2, 0.1]}
    found = best_method.true_scores([by_table, by_confirm], scores)
    assert found == {"both": [0.6, 0.6], "ours": [0.3, 0.3], "stability": [0.2, 0.1]}


def test_shares_and_losses_are_over_searches(capsys: pytest.CaptureFixture[str]) -> None:
    found = [outcome(both=[0.6, 0.6], ours=[0.7, 0.71]), outcome(both=[0.6, 0.6], ours=[0.5, 0.5])]
    best_method.print_outcomes([*found, outcome(both=[0.6, 0.6], ours=[0.64, 0.64])])
    lines = capsys.readouterr().out.splitlines()
    assert "| table | 1 of 3 | 4.83 |" in lines
    assert "| confirm | 2 of 3 | 3.33 |" in lines


@pytest.mark.slow
def test_best_methods_of_a_search_and_a_second_call_that_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(SPACE, encoding="utf-8")
    arguments = argparse.Namespace(
        space=str(space), trials=6, max_epochs=2, truth_seeds=2, test_images=50, out=tmp_path
    )
    first = best_method.judge(arguments, 1, best_method.searched(arguments, 1))
    assert set(first.num_finished) <= set(first.truth) <= {"plain", "smooth"}
    assert {first.by_table, first.by_confirm} <= set(first.truth)
    assert all(len(scores) == 2 for scores in first.truth.values())

    def never(*_: object) -> None:
        raise AssertionError("was trained again")

    monkeypatch.setattr(best_method, "train_again", never)
    assert best_method.judge(arguments, 1, best_method.searched(arguments, 1)) == first
