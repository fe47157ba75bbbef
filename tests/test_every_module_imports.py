from __future__ import annotations

import importlib
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


@pytest.mark.parametrize("module", ["tunebox", "tunebox.api"])
def test_every_public_name_is_there(module: str) -> None:
    imported = importlib.import_module(module)
    for name in imported.__all__:
        assert getattr(imported, name) is not None


def test_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'tunebox' has no attribute 'absent'"):
        _ = tunebox.absent
