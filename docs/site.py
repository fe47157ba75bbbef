"""Hooks of the site: files of the root are pages too, README.md the first; so are notebooks."""

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PAGES = {"index.md": "README.md"} | {
    name: name for name in ("SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")
}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie outside of ``docs``, and those that are notebooks."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, content=_for_site(ROOT / source)))
    for path in sorted((ROOT / "docs" / "tutorials").glob("*.ipynb")):
        page = f"tutorials/{path.stem}.md"
        files.append(File.generated(config, page, content=_notebook(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links lead to the pages of the site."""
    return re.sub(r"\]\(\.\./(SECURITY|CONTRIBUTING|CHANGELOG)\.md", r"](\1.md", markdown)


def _notebook(path: Path) -> str:
    """Return a notebook as Markdown: texts, code, and the outputs that are stored in it."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        else:
            parts += [f"```python\n{source}\n```", *map(_output, cell["outputs"])]
    title, *rest = parts
    notebook = f"*This page is a notebook: [{path.name}]({path.name}).*"
    return "\n\n".join([title, notebook, *rest]) + "\n"


def _output(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        packed = "".join(data["image/png"]).replace("\n", "")
        return f'<img alt="The picture that this code shows" src="data:image/png;base64,{packed}">'
    text = "".join(output.get("text") or data["text/plain"])
    return f"```text\n{text.rstrip()}\n```"


def _for_site(path: Path) -> str:
    text = path.read_text(encoding="utf-8").replace("](docs/", "](")
    return re.sub(r"\[([^\]]+)\]\((?:examples|deploy|tests)[^)]*\)", r"`\1`", text)
