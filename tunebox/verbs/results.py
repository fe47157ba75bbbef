"""The results of searches that have run."""

from dataclasses import dataclass
from pathlib import Path

from tunebox.decisions.confirmed import Confirmed
from tunebox.decisions.trials import TrialLog
from tunebox.records.run_end import RunEnd, read_run_end
from tunebox.records.search_folder import SearchFolder, open_folder
from tunebox.records.trial_tables import read_log
from tunebox.spec.search_settings import default_out
from tunebox.tracking.stores import front_filter


@dataclass(frozen=True, kw_only=True)
class SearchResult(RunEnd):
    """What a search found and where its records are.

    Attributes:
        name: Name of the search.
        out: Folder of all searches.
        folder: Files of this search.
        log: All trials.
        front_filter: Filter that shows the front on MLflow's pages.
        confirmed: What the ``repeats`` of its best trials found; None without any.
    """

    name: str
    out: str
    folder: SearchFolder
    log: TrialLog
    front_filter: str = front_filter
    confirmed: Confirmed | None = None


def find_search(name: str, out: str | Path | None = None) -> SearchFolder:
    """Return the folder of the search ``name``.

    Raises:
        RecordsError: There is no such search in ``out``.
    """
    return open_folder(Path(out or default_out()), name)


def read_result(folder: SearchFolder) -> SearchResult | None:
    """Return the result of the last run of the search in ``folder``; None if it was killed."""
    end = read_run_end(folder.run_end)
    if end is None:
        return None
    out, log = str(folder.root.parent), read_log(folder)
    return SearchResult(name=folder.name, out=out, folder=folder, log=log, **vars(end))
