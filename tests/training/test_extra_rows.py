"""What ``tunebox evaluate`` measures if it is asked to."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.tiny_model import tiny_model
from tunebox.data.image_set import ImageSet
from tunebox.errors import DataError
from tunebox.metrics.catalogue import EXTRA_PARTS
from tunebox.noise.corruptions import COMMON, NAMES
from tunebox.noise.gaussian import GaussianSettings
from tunebox.training.correct_times import correct_times, correlations
from tunebox.training.corruption_rows import (
    corruption_file_rows,
    corruption_rows,
    mean_errors,
    normalized_errors,
)
from tunebox.training.robustness import Extras, evaluate_robustness
from tunebox.training.robustness_row import RobustnessRow


def image_set(count: int = 60, side: int = 4) -> ImageSet:
    """Images that the tiny model classifies correctly."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(256, (count, 1, side, side), generator=generator, dtype=torch.uint8)
    with torch.no_grad():
        labels = tiny_model(side)(images.float() / 255).argmax(dim=1)
    return ImageSet(images, labels, num_classes=3)


def test_corruptions_have_a_row_for_each_severity() -> None:
    rows = corruption_rows(tiny_model(), image_set(20), seed=0)
    names = [name for name in NAMES if name != "saturate"]  # grey images have no colours
    expected = [(name, float(severity)) for name in names for severity in range(1, 6)]
    assert [(row.perturbation, row.strength) for row in rows] == expected
    assert rows == corruption_rows(tiny_model(), image_set(20), seed=0)
    errors = [1 - row.accuracy for row in rows if row.perturbation in COMMON]
    means = mean_errors(rows)
    assert means["mean_corruption_error"] == pytest.approx(np.mean(errors))
    assert means["mean_corruption_error_all"] == pytest.approx(
        np.mean([1 - row.accuracy for row in rows])
    )


def rows_of(errors: dict[str, list[float]], clean: float) -> list[RobustnessRow]:
    rows = [RobustnessRow("clean", "none", 0.0, 1 - clean, 0.1)]
    for name, values in errors.items():
        for number, error in enumerate(values):
            rows.append(RobustnessRow(name, "severity", number + 1.0, 1 - error, 0.1))
    return rows


def test_reference_of_corruption_errors() -> None:
    errors = {"fog": [0.10, 0.15, 0.20, 0.25, 0.30], "snow": [0.05, 0.06, 0.07, 0.08, 0.09]}
    reference = {"fog": [0.20, 0.25, 0.30, 0.35, 0.40], "snow": [0.10] * 5}
    rows = rows_of(errors, clean=0.04)
    assert mean_errors(rows)["mean_corruption_error"] == pytest.approx(0.135)
    found = normalized_errors(rows, rows_of(reference, clean=0.08))
    assert found["mean_corruption_error_normalized"] == pytest.approx(0.683333, abs=1e-6)
    assert found["mean_corruption_error_relative"] == pytest.approx(1.113636, abs=1e-6)
    perfect = rows_of({"fog": [0.0] * 5}, clean=0.0)
    assert normalized_errors(rows, perfect) == {}  # nothing can be divided by it


def save(folder: Path, name: str, array: object) -> None:
    np.save(folder / f"{name}.npy", np.asarray(array))


def test_files_in_the_layout_of_cifar_10_c(tmp_path: Path) -> None:
    images = image_set(10)
    pixels = images.images.permute(0, 2, 3, 1).numpy()
    black = np.zeros_like(pixels)
    # severity 3 is black, the others are not corrupted at all
    save(tmp_path, "fog", np.concatenate([pixels, pixels, black, pixels, pixels]))
    save(tmp_path, "labels", np.tile(images.labels.numpy(), 5).astype(np.uint8))
    rows = corruption_file_rows(tiny_model(), tmp_path, (1, 4, 4))
    assert [(row.perturbation, row.strength) for row in rows] == [
        ("fog_file", float(severity)) for severity in range(1, 6)
    ]
    black_class = int(tiny_model()(torch.zeros(1, 1, 4, 4)).argmax())
    share = (images.labels == black_class).double().mean().item()
    assert [row.accuracy for row in rows] == pytest.approx([1, 1, share, 1, 1])
    assert mean_errors(rows, suffix="_file")["mean_corruption_error"] == pytest.approx(
        (1 - share) / 5
    )


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((5, 4, 4, 3), np.uint8), np.zeros(5, int), "expected uint8"),
        (np.zeros((5, 4, 4), np.float32), np.zeros(5, int), "has float32"),
        (np.zeros((6, 4, 4), np.uint8), np.zeros(6, int), "a multiple of 5"),
        (np.zeros((5, 4, 4), np.uint8), np.zeros(10, int), "as many labels as images"),
        (np.zeros((5, 4, 4), np.uint8), np.full(5, 3), "whole numbers from 0 to 2"),
        (np.zeros((5, 4, 4), np.uint8), None, "labels.npy is missing"),
        (None, np.zeros(5, int), "no file of corrupted images"),
    ],
)
def test_wrong_files_are_told(tmp_path: Path, images: object, labels: object, message: str) -> None:
    for name, array in (("fog", images), ("labels", labels)):
        if array is not None:
            save(tmp_path, name, array)
    with pytest.raises(DataError, match=message):
        corruption_file_rows(tiny_model(), tmp_path, (1, 4, 4))


def test_reference_of_correct_times() -> None:
    first = correlations(np.array([4.0, 2, 3, 1]), np.array([1, 2, 3, 3]), seed=0)
    assert first["pearson"] == pytest.approx(-0.866025, abs=1e-6)
    second = correlations(np.array([5.0, 4, 3, 1, 2, 9]), np.array([1, 1, 2, 3, 3, 0]), seed=0)
    assert second["pearson"] == pytest.approx(-1)
    assert second["groups"] == 3
    alone = correlations(np.array([5.0, 4]), np.array([2, 2]), seed=0)
    assert math.isnan(alone["pearson"])
    assert math.isnan(alone["spearman_low"])


def test_rank_correlation_has_an_interval_around_it() -> None:
    from scipy.stats import spearmanr

    generator = np.random.default_rng(0)
    curvatures = generator.exponential(size=200)
    counts = np.clip(10 - (4 * curvatures).round() + generator.integers(3, size=200), 0, 10)
    found = correlations(curvatures, counts.astype(np.int64), seed=1)
    assert found["spearman"] == pytest.approx(spearmanr(curvatures, counts).statistic)
    assert found["spearman_low"] < found["spearman"] < found["spearman_high"] < 0


def test_correct_times_counts_copies() -> None:
    model, images = tiny_model(), image_set(30)
    sure = GaussianSettings(kind="gaussian", std=0.0).build()
    assert (correct_times(model, images, sure, seed=0) == 10).all()
    unsure = GaussianSettings(kind="gaussian", std=0.5).build()
    counts = correct_times(model, images, unsure, seed=0)
    assert counts.min() < counts.max() <= 10


def test_everything_at_once() -> None:
    model, images = tiny_model(slope=1.0), image_set(30)
    extras = Extras(EXTRA_PARTS, images=10, samples=50, members=image_set(20))
    report = evaluate_robustness(
        model, images, seed=0, device="cpu", curvature_images=10, extras=extras
    )
    usual = evaluate_robustness(model, images, seed=0, device="cpu", curvature_images=10)
    assert report.rows[: len(usual.rows)] == usual.rows
    assert report.curvature == usual.curvature
    assert usual.numbers == {}
    rows = {(row.perturbation, row.strength): row for row in report.rows}
    assert len(rows) == len(report.rows)
    for norm in ("linf", "l2"):
        pgd = [row.accuracy for row in report.rows if row.perturbation == f"pgd_{norm}"]
        apgd = [row.accuracy for row in report.rows if row.perturbation == f"apgd_{norm}"]
        assert pgd == sorted(pgd, reverse=True)
        assert all(strong <= weak for strong, weak in zip(apgd, pgd, strict=True))
    certified = [row.accuracy for row in report.rows if row.perturbation == "certified"]
    assert certified == sorted(certified, reverse=True)
    expected = {"mean_corruption_error", "certified/average_radius", "membership/loss"}
    assert expected < report.numbers.keys()
    assert all(math.isfinite(value) for value in report.numbers.values())
