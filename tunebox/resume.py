"""Which search it is that goes on: its search file as it ran, with what may differ."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tunebox.errors import SearchFileError
from tunebox.records.search_folder import SearchFolder
from tunebox.spec.load import load_spec
from tunebox.spec.search_spec import SearchSpec

# What may differ: it changes neither a trial nor a decision that was taken.
RESUMABLE = (
    *("trials", "epochs", "time_budget", "stop_when", "max_failures", "max_failed_fraction"),
    *("address", "max_concurrent", "cpus_per_trial", "gpus_per_trial"),
)


def resumed_spec(folder: SearchFolder, options: Mapping[str, Any]) -> SearchSpec:
    """Return the search in ``folder`` with ``options``, settings of ``search``, in place.

    Raises:
        SearchFileError: ``search.yaml`` is damaged, or an option cannot differ.
    """
    before = load_spec(str(folder.search_file))
    for name, value in options.items():
        was = getattr(before.search, name, None)
        if name not in RESUMABLE and value != was:
            raise SearchFileError(
                f"--{name.replace('_', '-')} {value}: a search that is resumed keeps its "
                f"{name}={was}; what may differ: {', '.join(RESUMABLE)}"
            )
    spec = load_spec(str(folder.search_file), options)
    # it may have been moved to another folder since
    search = spec.search.model_copy(update={"name": folder.name, "out": str(folder.root.parent)})
    return replace(spec, search=search)


def check_num_trials(spec: SearchSpec, num_planned: int) -> None:
    """Raise SearchFileError if the search has more trials already than ``spec`` asks for."""
    if spec.search.trials < num_planned:
        raise SearchFileError(
            f"--trials {spec.search.trials}: the search has {num_planned} trials already; "
            "give at least as many, or leave it out"
        )
