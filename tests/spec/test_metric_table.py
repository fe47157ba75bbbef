"""The documented metrics and corruptions are those that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tunebox.metrics.catalogue import COMPUTED, of_model
from tunebox.spec.load import spec_from_source
from tunebox.spec.metric_table import (
    corruption_table,
    kind_table,
    prediction_table,
    reported_table,
)
from tunebox.spec.yaml_source import parse_yaml

PAGE = Path(__file__).parents[2] / "docs" / "measures.md"


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("predictions", prediction_table()),
        ("kinds", kind_table()),
        ("reported", reported_table()),
        ("corruptions", corruption_table()),
    ],
)
def test_documentation_is_that_of_the_code(name: str, written: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    table = text.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]
    assert table == written, "print it with: python -m tunebox.spec.metric_table"


def test_every_metric_is_there_with_its_unit() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in (*COMPUTED, *of_model()))
    assert "| `class_margin` | smallest angle between" in text
    assert "| degrees | higher | 0 to 180 |" in text


def test_every_source_is_given() -> None:
    text, _, sources = PAGE.read_text(encoding="utf-8").partition("## Sources")
    given = set(re.findall(r"^- \[(\w+)\]", sources, re.MULTILINE))
    assert set(re.findall(r"\[(\w+\d{4})\]", text)) == given


def test_search_file_of_the_page_is_valid() -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    spec = spec_from_source(parse_yaml(text, "measures.md"))
    assert (
        "weak_pgd_accuracy"
        in spec.trial_config({"losses/noise/std": 0.5, "optimizer/lr": 0.1}).evaluation.computed
    )
