from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

paper_tables = pytest.importorskip("benchmarks.paper_tables", exc_type=ImportError)


def test_interval_by_hand() -> None:
    # standard error 1 / sqrt(3), quantile 4.3027 of Student's t with 2 degrees of freedom
    mean, half = paper_tables.interval(np.array([1.0, 2.0, 3.0]))
    assert mean == 2.0
    assert half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert math.isnan(paper_tables.interval(np.array([1.0]))[1])


def test_comparison_is_paired() -> None:
    """With two degrees of freedom, p is 1 - t / sqrt(t^2 + 2)."""
    others = np.array([70.0, 10.0, 40.0])
    found = paper_tables.compare(others + np.array([1.0, 2.0, 3.0]), others)
    t = 2 * math.sqrt(3)
    assert found.mean == pytest.approx(2.0)
    assert found.p == pytest.approx(1 - t / math.sqrt(t * t + 2))


def test_holm_by_hand() -> None:
    found = paper_tables.holm([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(found, [0.03, 0.06, 0.06, 0.02])
    assert paper_tables.holm([0.6, 0.7]) == [1.0, 1.0]


def made_finals(accuracy: float, curvature: float) -> list[dict[str, Any]]:
    strengths = {"gaussian": (0.06, 0.5), "uniform": (0.25,), "patch_mask": (4, 5, 7)}
    table = {"clean": (0.0,), "search_noise": (0.0,), **strengths, "down_up": (0.5,)}
    return [
        {
            "accuracies": [
                [name, strength, accuracy + 0.001 * seed * (1 + accuracy)]
                for name, found in table.items()
                for strength in found
            ],
            "curvature_mean": curvature * (1 + 0.01 * seed * curvature),
            "curvature_median": curvature * (1 + 0.02 * seed * curvature),
            "numbers": {"correct_times/gaussian/pearson": -0.9},
        }
        for seed in range(4)
    ]


def test_tables_say_where_ours_is_better_and_where_worse(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    methods = {"both": made_finals(0.6, 3.0), "ours": made_finals(0.7, 2.0)}
    regimes = {"fixed": methods, "tuned": {"both": methods["ours"], "ours": methods["both"]}}
    paper_tables.print_tables(regimes)
    printed = capsys.readouterr().out
    accuracies = (
        "clean, Gaussian 0.06, Gaussian 0.3, Gaussian 0.5, uniform 0.25, mask 5 x 5, down-up 1/2"
    )
    fixed, tuned = [line for line in printed.splitlines() if line.startswith("- ours against both")]
    assert f"better in {accuracies}, curvature, mean, curvature, median;" in fixed
    assert "worse in nothing" in fixed
    assert "better in nothing" in tuned
    assert tuned.endswith(f"worse in {accuracies}, curvature, mean, curvature, median")
    [*_, last] = [line for line in printed.splitlines() if line.startswith("| ours | -0.90")]
    assert last == "| ours | -0.90 ± 0.00 | - | - | - |"
    paper_tables.write_figure(regimes, tmp_path / "images" / "figure.png")
    assert (tmp_path / "images" / "figure.png").read_bytes().startswith(b"\x89PNG")
