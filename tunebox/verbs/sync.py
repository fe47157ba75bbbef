"""``tunebox sync``: send to MLflow what a search could not send."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tunebox.decisions.events import SearchEnded
from tunebox.errors import RecordsError
from tunebox.records.journal import Journal, read_journal
from tunebox.records.lock import locked
from tunebox.records.run_end import RunEnd, read_run_end
from tunebox.records.search_folder import SearchFolder
from tunebox.tracking.sync import search_tracking_uri
from tunebox.verbs.results import find_search
from tunebox.verbs.resume import resumed_spec, resumed_state

if TYPE_CHECKING:
    from tunebox.tracking.sync import SyncResult


def sync(
    name: str, *, out: str | Path | None = None, tracking_uri: str | None = None
) -> "SyncResult":
    """Send the data of the search ``name`` that MLflow lacks, and return what was sent.

    Args:
        name: Name of a search that is not running.
        out: Output folder of all searches.
        tracking_uri: Address of MLflow; None for the one that the search was given. User and
            password are not saved: pass them again, or set ``MLFLOW_TRACKING_URI``.

    Raises:
        RecordsError: There is no such search in ``out``, it has no journal, or it still runs.
    """
    folder = find_search(name, out)
    with locked(folder.lock):
        journal = read_journal(folder.journal)
        uri = search_tracking_uri(folder, tracking_uri)
        from tunebox.records.journal_log import note_weights
        from tunebox.records.trial_tables import mend_tables
        from tunebox.tracking.sync import sync_search

        spec = resumed_spec(folder, {})
        state = resumed_state(folder, spec, journal)
        note_weights(state.log, folder)
        mend_tables(folder, state.log, spec.space.leaves)
        end, damage = _how_it_ended(folder, journal)
        result = sync_search(folder, spec, state.log, end, uri)
    lines = [line for line in (journal.warning, damage) if line is not None]
    return replace(result, warnings=[*lines, *result.warnings])


def _how_it_ended(
    folder: SearchFolder, journal: Journal
) -> tuple[RunEnd | SearchEnded | None, str | None]:
    """Return how the last run of a search ended, None if it was killed, and a line on damage.

    Where the file that says it is damaged, the journal knows, except of repeats.
    """
    try:
        return read_run_end(folder.run_end), None
    except RecordsError as error:
        last = journal.events[-1] if journal.events else None
        return last if isinstance(last, SearchEnded) else None, str(error)
