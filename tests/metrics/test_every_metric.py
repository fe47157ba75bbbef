"""What every metric of predictions promises, and the reference values of calibration."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from tests.losses.references import LABELS, LOGITS
from tunebox.metrics.calibration import NUM_BINS, binned_calibration_error
from tunebox.metrics.catalogue import COMPUTED, MEASURED, find_metric
from tunebox.metrics.metric import Metric

CLASSES, IMAGES = 4, 50


@pytest.fixture(params=sorted(COMPUTED))
def metric(request: pytest.FixtureRequest) -> Metric:
    return COMPUTED[request.param]


def value(metric: Metric, logits: Tensor, labels: Tensor, batch_size: int = IMAGES) -> float:
    assert metric.compute is not None
    batches = zip(torch.split(logits, batch_size), torch.split(labels, batch_size), strict=True)
    return metric.compute(list(batches)).item()


def predictions(seed: int, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (IMAGES,), generator=generator)
    return scale * torch.randn(IMAGES, CLASSES, generator=generator), labels


@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0])
def test_values_are_in_the_range(metric: Metric, scale: float) -> None:
    low, high = metric.range
    assert all(low <= value(metric, *predictions(seed, scale)) <= high for seed in range(20))


def test_sure_and_right_is_better_than_sure_and_wrong(metric: Metric) -> None:
    _, labels = predictions(0)
    right = 20 * torch.eye(CLASSES)[labels]
    wrong = 20 * torch.eye(CLASSES)[(labels + 1) % CLASSES]
    gain = value(metric, right, labels) - value(metric, wrong, labels)
    assert gain > 0 if metric.direction == "maximize" else gain < 0


def test_neither_order_nor_batches_matter(metric: Metric) -> None:
    logits, labels = predictions(1)
    order = torch.randperm(IMAGES, generator=torch.Generator().manual_seed(2))
    expected = pytest.approx(value(metric, logits, labels), rel=1e-6)
    assert value(metric, logits[order], labels[order]) == expected
    assert value(metric, logits, labels, batch_size=7) == expected


@pytest.mark.parametrize(("num_bins", "expected"), [(5, 0.12875), (10, 0.35375), (15, 0.35375)])
def test_calibration_error_of_a_worked_example(num_bins: int, expected: float) -> None:
    confidence = [0.95, 0.85, 0.75, 0.65, 0.55, 0.45, 0.92, 0.35]
    correct = torch.tensor([1, 1, 0, 1, 0, 1, 1, 0])
    error = binned_calibration_error(
        torch.tensor(confidence, dtype=torch.float64), correct, num_bins
    )
    assert error.item() == pytest.approx(expected, abs=1e-12)


def test_a_confidence_on_an_edge_is_in_the_lower_bin() -> None:
    on_edge, above = 0.5, 0.5 + 1e-9
    confidence = torch.tensor([on_edge, above], dtype=torch.float64)
    # apart, the gaps 0.5 of one right and one wrong image add up; in one bin they would cancel
    error = binned_calibration_error(confidence, torch.tensor([1, 0]), 2)
    assert error.item() == pytest.approx(0.5)


def test_calibration_error_of_logits_by_hand() -> None:
    logits, labels = predictions(3, scale=2.0)
    probabilities = logits.double().softmax(dim=1)
    expected = 0.0
    for number in range(NUM_BINS):
        low, high = number / NUM_BINS, (number + 1) / NUM_BINS
        inside = [p for p in range(IMAGES) if low < float(probabilities[p].max()) <= high]
        right = sum(int(probabilities[p].argmax()) == int(labels[p]) for p in inside)
        expected += abs(right - sum(float(probabilities[p].max()) for p in inside)) / IMAGES
    assert value(COMPUTED["clean_ece"], logits, labels) == pytest.approx(expected)


def test_brier_by_hand() -> None:
    logits = torch.tensor([[0.75, 0.25], [0.5, 0.5]]).log()
    # (0.25^2 + 0.25^2 + 0.5^2 + 0.5^2) / 2
    assert value(COMPUTED["noisy_brier"], logits, torch.tensor([0, 1])) == pytest.approx(0.3125)
    found = value(COMPUTED["clean_brier"], LOGITS.float(), LABELS)
    assert found == pytest.approx(0.354063, abs=1e-6)


def test_every_metric_is_found_by_its_name() -> None:
    for name, metric in {**COMPUTED, **MEASURED}.items():
        assert metric.name == name
        assert find_metric(name) is metric
    term = find_metric("train_discriminative")
    assert term is not None
    assert term.direction == "minimize"
    assert find_metric("speed") is None


def test_the_catalogue_imports_no_torch() -> None:
    code = "import sys, tunebox.metrics.catalogue; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
