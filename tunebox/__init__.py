"""Search the training settings of robust image classifiers on a Ray cluster."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from tunebox.proxies import reach_this_machine_directly

if TYPE_CHECKING:
    from tunebox.records.model_folder import load_model
    from tunebox.verbs.confirm import confirm
    from tunebox.verbs.evaluate import evaluate
    from tunebox.verbs.export import export
    from tunebox.verbs.front import front
    from tunebox.verbs.predict import predict
    from tunebox.verbs.report import report
    from tunebox.verbs.search import search
    from tunebox.verbs.sync import sync
    from tunebox.verbs.train import train

try:
    __version__ = version("tunebox")
except PackageNotFoundError:  # on a node that Ray gave the code alone
    __version__ = "0+checkout"
__all__ = [
    "__version__",
    "confirm",
    "evaluate",
    "export",
    "front",
    "load_model",
    "predict",
    "report",
    "search",
    "sync",
    "train",
]

reach_this_machine_directly()  # here, for every command, every caller from Python, every worker


def __getattr__(name: str) -> Any:
    # Ray, MLflow and torch are slow to import; a verb that needs none of them should not wait.
    if name in __all__:
        module = "records.model_folder" if name == "load_model" else f"verbs.{name}"
        return getattr(import_module(f"tunebox.{module}"), name)
    raise AttributeError(f"module 'tunebox' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
