"""Where the trials of a search run: on a Ray cluster, or in this process."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tunebox.decisions.events import Observer
from tunebox.errors import ClusterError
from tunebox.spec.search_settings import IN_PROCESS
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.trial_config import TrialConfig
from tunebox.tracking.stores import public_uri
from tunebox.verbs.data_check import (
    check_folds,
    data_are_here,
    inspect_data,
    note_inspection,
    note_validation,
    store_data,
)

if TYPE_CHECKING:
    from tunebox.data.inspection import Inspection
    from tunebox.decisions.state import SearchState
    from tunebox.engine.executor import Executor
    from tunebox.engine.nodes.preparation import NodeReport


@contextmanager
def prepared_executor(
    spec: SearchSpec, num_trials: int, note: Callable[[str], None], measured: int = 0
) -> Iterator[tuple[SearchSpec, "NodeReport"]]:
    """Join or start Ray when there are trials to run, and prepare the nodes for them.

    Args:
        spec: The search.
        num_trials: How many trials there are to run.
        note: Called with lines for the person who runs the search.
        measured: Bytes that a trial took before a resume, 0 if none ran.

    Yields:
        The search with the resources of a trial as numbers, and the report about the nodes.

    Raises:
        TuneboxError: No trial could run.
    """
    from tunebox.engine.nodes.preparation import NodeReport

    if not num_trials:
        yield spec, NodeReport()
    elif spec.search.address == IN_PROCESS:
        inspection = _inspect_data(spec, note)
        yield spec, NodeReport(bad_files=[] if inspection is None else inspection.bad)
    else:
        with _prepared_cluster(spec, note, measured) as prepared:
            yield prepared


@contextmanager
def _prepared_cluster(
    spec: SearchSpec, note: Callable[[str], None], measured: int
) -> Iterator[tuple[SearchSpec, "NodeReport"]]:
    from tunebox.engine.nodes.capacity import (
        check_capacity,
        measure_gpus_per_trial,
        trial_resources,
    )
    from tunebox.engine.nodes.cluster import connect, would_start_ray
    from tunebox.engine.nodes.memory import fit_into_memory, memory_of_nodes
    from tunebox.engine.nodes.preparation import inspect_on_a_node, prepare_nodes

    joins = not would_start_ray(spec.search.address)
    if joins:
        _check_command_line()
    inspection = _inspect_data(spec, note, may_be_elsewhere=joins)  # before Ray: that takes seconds
    with connect(spec.search.address) as cluster:
        request = trial_resources(spec.search)
        waits = check_capacity(spec.search, request)
        data = spec.first_trial().data
        report = prepare_nodes(request, Path(spec.search.out), data)
        if inspection is None:
            assert data is not None
            inspection = inspect_on_a_node(request, data, report.excluded)
            note_inspection(inspection, note)
            note_validation(spec, inspection, note)
        report.bad_files.extend(inspection.bad)
        report.memory.extend(memory_of_nodes(request, report.excluded))
        limit, line = fit_into_memory(spec, request, inspection, report.memory, measured)
        report.notes.extend(filter(None, [waits, line]))
        for line in (f"{spec.search.name}: {cluster}", *report.notes):
            note(line)
        if spec.search.gpus_per_trial == "auto":
            note("--gpus-per-trial auto: measuring, once a GPU is free")
            request["GPU"], line = measure_gpus_per_trial(spec, request, report.excluded)
            note(line)
            report.notes.append(line)  # a user who watches from a laptop sees only the notes
        settled = {"cpus_per_trial": request["CPU"], "gpus_per_trial": request["GPU"]}
        changes = {**settled, "max_concurrent": limit}
        yield replace(spec, search=spec.search.model_copy(update=changes)), report


def make_executor(
    spec: SearchSpec, state: "SearchState", root: Path, report: "NodeReport"
) -> "Executor":
    """Return the executor for ``spec``, with files in ``root``, an absolute path."""
    rungs = state.method.rungs
    if spec.search.address == IN_PROCESS:
        from tunebox.engine.in_process import InProcessExecutor

        return InProcessExecutor(spec, rungs, root)
    from tunebox.engine.ray.executor import RayTuneExecutor

    return RayTuneExecutor(spec, rungs, root, report.excluded, report.memory)


def autoscaler_observers(spec: SearchSpec, num_trials: int) -> list[Observer]:
    """Return the observer that requests nodes for ``num_trials`` if there is an autoscaler."""
    if not num_trials or spec.search.address == IN_PROCESS:
        return []
    from tunebox.engine.nodes.autoscaler import demand_observers
    from tunebox.engine.nodes.capacity import trial_resources

    return demand_observers(trial_resources(spec.search), num_trials, spec.search.max_concurrent)


def _check_command_line() -> None:
    """Raise ClusterError if this program was given a password that Ray would show to others."""
    uris = [uri for word in sys.argv for uri in re.findall(r"[\w+]+://\S+", word)]
    if any(public_uri(uri) != uri for uri in uris):
        raise ClusterError(
            "the Ray cluster would show the command line of this search, which has a password in "
            "it; put the address into MLFLOW_TRACKING_URI instead of --tracking-uri"
        )


def _inspect_data(
    spec: SearchSpec, note: Callable[[str], None], may_be_elsewhere: bool = False
) -> "Inspection | None":
    """Return what is in the data; None if they are on other machines."""
    from tunebox.data.inspection import Inspection

    config = spec.first_trial()
    if not isinstance(config, TrialConfig):
        return Inspection()
    data, inspection = config.data, Inspection()
    if data.code is None:  # code of the user's own looks after its data itself
        if may_be_elsewhere and not data_are_here(data):
            return None
        inspection = inspect_data(data, note)
        store_data(data, note)
    check_folds(config)
    note_validation(spec, inspection, note)
    return inspection
