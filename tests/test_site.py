"""The documentation as a site."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tunebox

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built without a warning."""
    to = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        str(to),
    ]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return to


@pytest.mark.slow
def test_every_page_is_in_the_site_and_readme_is_the_first(site: Path) -> None:
    pages = {path.parent.name for path in site.rglob("index.html")}
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} <= pages
    assert {"SECURITY", "CONTRIBUTING", "CHANGELOG"} <= pages
    assert {path.stem for path in (ROOT / "docs" / "tutorials").glob("*.ipynb")} <= pages
    assert "Install, and run a first search" in (site / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_tutorial_is_a_page_with_its_code_outputs_and_picture(site: Path) -> None:
    page = (site / "tutorials" / "first-search" / "index.html").read_text(encoding="utf-8")
    assert "A first search" in page
    assert "on the front" in page
    assert 'src="data:image/png;base64,' in page
    assert (site / "tutorials" / "first-search.ipynb").exists()


@pytest.mark.slow
def test_the_page_of_the_api_has_every_function(site: Path) -> None:
    page = (site / "api" / "index.html").read_text(encoding="utf-8")
    shown = set(re.findall(r'<h2 id="tunebox\.(\w+)"', page))
    assert shown == {name for name in tunebox.__all__ if not name.startswith("_")}
