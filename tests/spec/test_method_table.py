"""The documented methods are those that there are, each with what a reader needs to choose."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from tunebox.losses.settings import Family, TermSettings
from tunebox.spec.load import spec_from_source
from tunebox.spec.method_table import Method, method_table, methods, source_list, sources
from tunebox.spec.yaml_source import parse_yaml

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"
WITHOUT_SOURCE = {"cross_entropy", "sigmoid_center"}
FAMILIES: tuple[Family, ...] = get_args(Family)
TABLES = {family: method_table(family) for family in FAMILIES}
BY_KIND = {method.kind: method for method in methods()}


@pytest.mark.parametrize(
    ("name", "written"),
    [
        *TABLES.items(),
        ("sources", source_list()),
    ],
)
def test_documentation_is_that_of_the_code(name: str, written: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    table = text.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]
    assert table == written, "print it with: python -m tunebox.spec.method_table"


def test_every_term_is_there() -> None:
    assert BY_KIND.keys() == TermSettings.kinds().keys()


@pytest.mark.parametrize("method", BY_KIND.values(), ids=lambda method: str(method.kind))
def test_method_says_what_a_reader_needs(method: Method) -> None:
    assert list(method.sections) == ["Formula", "Good for", "Deviates"]
    assert all(method.sections.values())
    cited = re.findall(r"\[(\w+\d{4}\w?)\]", " ".join([method.meaning, *method.sections.values()]))
    assert set(cited) <= sources().keys()
    assert bool(re.findall(r"\[(\w+\d{4})\]", method.meaning)) == (
        method.kind not in WITHOUT_SOURCE
    )


def test_every_source_is_used_and_whole() -> None:
    rows = "".join(TABLES.values())
    for key, source in sources().items():
        assert f"[{key}]" in rows
        assert source.endswith(".")
        assert key[-4:] in source or "arXiv" in source


def test_rows() -> None:
    rows = {line.split("`")[1]: line for line in TABLES["base"].splitlines()[2:]}
    assert "| (1 - p_y^q) / q | `q: 0.7` (> 0 and <= 1): 1: absolute error" in rows["gce"]
    assert "-9.210340`" in rows["sce"]
    assert all(line.count(" | ") == 5 for line in rows.values())
    assert BY_KIND["stability"].cost == "2"
    assert BY_KIND["consistency"].cost == "`copies`"
    assert BY_KIND["pgd"].cost == "`steps` + 1"
    assert BY_KIND["zero_centroid"].cost == "0"
    assert BY_KIND["mae"].cost == "1 for each view"


def test_search_files_of_the_page_are_valid() -> None:
    found = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(found) == 2
    for text in found:
        assert spec_from_source(parse_yaml(text, "methods.md")).space.leaves
