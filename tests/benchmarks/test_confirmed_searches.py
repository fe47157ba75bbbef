from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

confirmed_searches = pytest.importorskip("benchmarks.confirmed_searches", exc_type=ImportError)

SPACE = """\
# Which is better?
data: {kind: digits, train_images: 200}
model: {kind: mlp, width: 8, depth: 1, feature_dim: 4}
losses:
  choice:
    plain: {cross_entropy: {on: clean}}
    smooth: {label_smoothing: {on: clean, smoothing: {uniform: [0.05, 0.3]}}}
optimizer: {kind: sgd, lr: {log_uniform: [0.05, 0.3]}}
evaluation: {noise: {kind: gaussian, std: 0.4}}
search: {trials: 6, max_epochs: 3}
"""


@pytest.mark.slow
def test_a_search_is_judged_by_seeds_that_neither_it_nor_confirm_has_seen(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(SPACE, encoding="utf-8")
    (tmp_path / "out").mkdir()
    outcome = confirmed_searches.run(str(space), 0, 3, tmp_path / "out")
    assert np.isfinite([outcome.before, outcome.after]).all()
    assert 1 <= outcome.num_stay <= outcome.num_front
    assert {outcome.by_table, outcome.by_confirm, outcome.by_truth} <= {"plain", "smooth"}
    confirmed_searches.print_outcomes(("clean_accuracy", "noisy_accuracy"), [outcome, outcome])


def test_optimism_is_in_points_of_costs() -> None:
    truth = {"a": np.array([-0.9, 3.0]), "b": np.array([-0.8, 2.0])}
    values = {"a": np.array([-0.92, 3.0]), "b": np.array([-0.80, 1.9])}
    np.testing.assert_allclose(confirmed_searches.optimism(values, truth), [1.0, 5.0])
