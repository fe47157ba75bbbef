"""The documented settings of a search are those that there are."""

from __future__ import annotations

from pathlib import Path

from tunebox.spec.option_table import confirm_table, option_table

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- options -->\n", "<!-- /options -->"


def test_table_in_the_documentation_is_that_of_the_settings() -> None:
    text = (DOCS / "search-file.md").read_text(encoding="utf-8")
    table = text.partition(BEGIN)[2].partition(END)[0]
    assert table == option_table(), "print it with: python -m tunebox.spec.option_table"


def test_table_of_confirm_is_that_of_its_settings() -> None:
    text = (DOCS / "confirm.md").read_text(encoding="utf-8")
    table = text.partition("<!-- confirm options -->\n")[2].partition("<!-- /confirm options -->")[
        0
    ]
    assert table == confirm_table(), "print it with: python -m tunebox.spec.option_table confirm"


def test_row_has_bounds_words_default_and_what_may_differ() -> None:
    rows = {line.split("`")[1]: line for line in option_table().splitlines()[2:]}
    assert rows["max_failed_fraction"].startswith(
        "| `max_failed_fraction` | number > 0, <= 1 | 0.5 | yes |  | "
    )
    assert rows["cpus_per_trial"].startswith(
        "| `cpus_per_trial` | number >= 0.001, <= 10,000 or `node` | 1 | yes"
    )
    assert rows["reduction_factor"].startswith(
        "| `reduction_factor` | whole number >= 2, <= 1,000 | 2"
    )
    assert (
        "| `tpe` or `nsga2` or `gp` or `qmc` or `random` or text | tpe |  | yes |"
        in rows["sampler"]
    )
