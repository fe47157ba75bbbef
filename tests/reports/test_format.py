from __future__ import annotations

import pytest

from tunebox.reports.format import format_metric


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("clean_accuracy", 0.98765, "98.77 %"),
        ("noisy_accuracy", 1.0, "100.00 %"),
        ("train_seconds", 12.345, "12.3 s"),
        ("parameters", 12345.0, "12345"),
        ("train_loss", 0.123456, "0.1235"),
        ("clean_loss", 2.0, "2"),
        ("train_loss", float("nan"), "nan"),
        ("train_loss", float("inf"), "inf"),
    ],
)
def test_digits_that_matter(name: str, value: float, expected: str) -> None:
    assert format_metric(name, value) == expected
