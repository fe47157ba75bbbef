"""Search the training settings of robust image classifiers on a Ray cluster."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunebox.api import load_model, read_front, search, sync

try:
    __version__ = version("tunebox")
except PackageNotFoundError:  # on a node that Ray gave the code alone
    __version__ = "0+checkout"
__all__ = ["__version__", "load_model", "read_front", "search", "sync"]

# The package of this name is imported now (it is empty) and forgotten: imported later, it would
# take the place of the function.
import_module("tunebox.search")
globals().pop("search")


def __getattr__(name: str) -> Any:
    # Ray, MLflow and torch are slow to import; a verb that needs none of them should not wait.
    if name in ("load_model", "read_front", "search", "sync"):
        from tunebox import api

        return getattr(api, name)
    raise AttributeError(f"module 'tunebox' has no attribute {name!r}")
