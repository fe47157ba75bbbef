from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import tunebox

ROOT = Path(tunebox.__file__).parent
MODULES = sorted(
    ".".join(("tunebox", *path.relative_to(ROOT).with_suffix("").parts))
    for path in ROOT.rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
)


def test_there_are_modules() -> None:
    assert len(MODULES) > 60


@pytest.mark.parametrize("module", MODULES)
def test_module_imports(module: str) -> None:
    importlib.import_module(module)


def test_every_public_name_is_there() -> None:
    for name in tunebox.__all__:
        assert getattr(tunebox, name) is not None


def test_verbs_are_functions_whatever_was_imported_before() -> None:
    program = f"""
import importlib
import subprocess
import sys
for module in {MODULES!r}:
    importlib.import_module(module)
import tunebox
from tunebox import confirm, evaluate, export, front, load_model, report, search, sync, train
for name in set(tunebox.__all__) - {{"__version__"}}:
    print(name, type(getattr(tunebox, name)).__name__)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    verbs = ["confirm", "evaluate", "export", "front", "load_model", "predict"]
    verbs += ["report", "search", "sync", "train"]
    assert sorted(done.stdout.splitlines()) == [f"{verb} function" for verb in verbs]


def test_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'tunebox' has no attribute 'absent'"):
        _ = tunebox.absent
