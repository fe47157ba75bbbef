"""The notebooks of the documentation run, and what is stored in them is fit to be shown."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "docs" / "tutorials"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MACHINE_PATH = re.compile(
    r"(?<![\w.])/(home|root|tmp|opt|usr|var|work|mnt|Users|private)/|[A-Z]:\\\\"
)


def cells_of(path: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return cells


def texts_of(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    return "".join([*output.get("text", []), *data.get("text/plain", [])])


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["first-search", "own-images", "own-network"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_of_no_machine(path: Path) -> None:
    outputs = [output for cell in cells_of(path) for output in cell.get("outputs", [])]
    assert len(outputs) >= 2
    for output in outputs:
        assert output.get("name") != "stderr"
        assert output["output_type"] != "error"
        assert MACHINE_PATH.search(texts_of(output)) is None


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_tutorial_runs(path: Path, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(path, as_version=4)
    stored = [len(cell.get("outputs", [])) for cell in notebook.cells]
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=800, resources=resources).execute()
    for cell, number in zip(notebook.cells, stored, strict=True):
        outputs = [one for one in cell.get("outputs", []) if one.get("name") != "stderr"]
        assert len(outputs) == number
        assert all(MACHINE_PATH.search(texts_of(output)) is None for output in outputs)
