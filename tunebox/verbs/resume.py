"""The settings of a resumed search, with the options that may change, and its state."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tunebox.errors import OptionError, reading
from tunebox.records.journal import Journal
from tunebox.records.search_folder import SearchFolder
from tunebox.records.warm_start import kept_trials
from tunebox.spec.load import load_spec
from tunebox.spec.search_options import RESUMABLE
from tunebox.spec.search_spec import SearchSpec

if TYPE_CHECKING:
    from tunebox.decisions.state import SearchState


def resumed_spec(folder: SearchFolder, options: Mapping[str, Any]) -> SearchSpec:
    """Return the search in ``folder`` with ``options``, settings of ``search``, applied.

    A resume takes the options that change neither a trial nor a decision: `RESUMABLE`.

    Raises:
        SearchFileError: ``search.yaml`` is damaged, or an option may not change.
    """
    before = load_spec(str(folder.search_file), code=folder.code)
    for name, value in options.items():
        was = getattr(before.search, name, None)
        if name not in RESUMABLE and value != was:
            raise OptionError(
                name,
                f" {value}: a search that is resumed keeps its "
                f"{name}={was}; a resume may change {', '.join(RESUMABLE)}",
            )
    spec = load_spec(str(folder.search_file), options, code=folder.code)
    # it may have been moved to another folder since
    search = spec.search.model_copy(update={"name": folder.name, "out": str(folder.root.parent)})
    return replace(spec, search=search)


def resumed_state(folder: SearchFolder, spec: SearchSpec, journal: Journal) -> "SearchState":
    """Return the state that the search in ``folder`` had after the events of its journal.

    Raises:
        RecordsError: The journal, or what the search learned from earlier ones, does not fit it.
    """
    from tunebox.decisions.state import SearchState

    known = kept_trials(folder.warm_start)
    with reading(folder.warm_start, problem="does not fit this search"):
        state = SearchState.of(spec, known)
    replay_journal(folder, state, journal)
    return state


def replay_journal(folder: SearchFolder, state: "SearchState", journal: Journal) -> None:
    """Bring ``state``, a search that has not begun, up to where the search in ``folder`` ended.

    Raises:
        RecordsError: The journal does not fit the search, or lacks what its tables have.
    """
    folder.check_files()
    with reading(folder.journal, problem="does not fit this search"):
        state.replay_events(journal.events)
    if journal.warning is None or not journal.events:  # else a line says what it lacks
        from tunebox.records.trial_tables import check_against_tables

        check_against_tables(folder, state.log)


def check_num_trials(spec: SearchSpec, num_planned: int) -> None:
    """Raise SearchFileError if the search has more trials already than ``spec`` asks for."""
    if spec.search.trials < num_planned:
        raise OptionError(
            "trials",
            f" {spec.search.trials}: the search has {num_planned} trials already; "
            "give at least as many, or leave it out",
        )
