"""Hooks of the site: README.md is its first page, and other files of the root are pages too."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PAGES = {"index.md": "README.md"} | {
    name: name for name in ("SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")
}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie outside of ``docs``."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, content=_for_site(ROOT / source)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links lead to the pages of the site."""
    return re.sub(r"\]\(\.\./(SECURITY|CONTRIBUTING|CHANGELOG)\.md", r"](\1.md", markdown)


def _for_site(path: Path) -> str:
    text = path.read_text(encoding="utf-8").replace("](docs/", "](")
    return re.sub(r"\[([^\]]+)\]\((?:examples|deploy|tests)[^)]*\)", r"`\1`", text)
