"""README.md and docs/: search files in them are valid, files and pages that they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tunebox.spec.load import load_spec

CHECKOUT = Path(__file__).parents[1]
PAGES = [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/*.md")]
SHIPPED = r"`((?:tunebox|tests|docs|deploy|benchmarks|search_spaces|\.ci)/[\w./-]+\.\w+)"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []
    named = set(re.findall(SHIPPED, text))
    assert [name for name in sorted(named) if not (CHECKOUT / name).exists()] == []


def test_search_file_of_the_readme_is_valid(tmp_path: Path) -> None:
    (found,) = blocks(CHECKOUT / "README.md", "yaml")
    path = tmp_path / "my_search.yaml"
    path.write_text(found, encoding="utf-8")
    assert load_spec(str(path)).space.leaves


def test_parts_of_a_search_file_are_valid(tmp_path: Path) -> None:
    """Objectives, constraints and start settings of the reference, put into README's file."""
    (whole,) = blocks(CHECKOUT / "README.md", "yaml")
    parts = blocks(CHECKOUT / "docs" / "search-file.md", "yaml")
    assert len(parts) == 2
    path = tmp_path / "my_search.yaml"
    path.write_text(whole + "".join(parts), encoding="utf-8")
    spec = load_spec(str(path))
    assert spec.constraints
    assert len(spec.start) == 2


def test_readme_has_the_commands_of_the_gate() -> None:
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert ".venv/bin/pip install . && .venv/bin/tunebox search\n" in readme
    assert "python3 -m venv .venv && .venv/bin/pip install '.[test]'\n" in readme
    slow = "--ignore tests/faults && .venv/bin/pytest tests/faults\n"
    assert f".venv/bin/pytest -n 2 --dist loadfile {slow}" in readme
    assert len(readme.splitlines()) <= 170
