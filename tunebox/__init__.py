"""Search the training settings of robust image classifiers on a Ray cluster."""

from importlib import import_module

from tunebox.proxies import reach_this_machine_directly

TYPE_CHECKING = False  # the module typing, where type checkers look for it, takes time to import
if TYPE_CHECKING:
    from typing import Any

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

    __version__: str

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


def __getattr__(name: str) -> "Any":
    # Ray, MLflow and torch are slow to import; a verb that needs none of them should not wait.
    # What is imported above is imported before the command line can handle Ctrl-C.
    if name == "__version__":
        return globals().setdefault(name, _version())  # for the next who asks
    if name in __all__:
        module = "records.model_folder" if name == "load_model" else f"verbs.{name}"
        return getattr(import_module(f"tunebox.{module}"), name)
    raise AttributeError(f"module 'tunebox' has no attribute {name!r}")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tunebox")
    except PackageNotFoundError:  # on a node that Ray gave the code alone
        return "0+checkout"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
