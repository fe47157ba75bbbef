"""``tunebox report``: one or more searches as a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunebox.errors import RecordsError
from tunebox.records.confirmed_table import read_confirmed
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import read_log
from tunebox.spec.load import spec_from_source
from tunebox.spec.yaml_source import read_yaml
from tunebox.verbs.results import find_search

if TYPE_CHECKING:
    from tunebox.reports.report.study import Study


def report(
    names: str | Sequence[str], *, to: str | Path | None = None, out: str | Path | None = None
) -> Path:
    """Write the report of one or more searches, and return its path.

    If a search is still running, the report shows the trials in its tables so far.

    Args:
        names: Name of a search, or names.
        to: The file to write. The default is ``report.html`` in the folder of the search; of
            several searches, ``report.html`` in the current folder.
        out: Folder of all searches.

    Raises:
        RecordsError: There is no such search, a table is damaged, or the file cannot be written.
        SearchFileError: ``search.yaml`` of a search is damaged.
    """
    folders = find_searches(names, out)
    from tunebox.reports.report.page import write_report  # slow: not before a mistake is found

    studies = read_studies(folders, out)
    default = folders[0].report if len(folders) == 1 else Path("report.html")
    path = Path(to) if to is not None else default
    if path.is_dir():
        raise RecordsError(f"{path} is a folder; give the file with --to FILE.html")
    try:
        write_report(studies, path)
    except OSError as error:
        raise RecordsError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def find_searches(names: str | Sequence[str], out: str | Path | None) -> list[SearchFolder]:
    """Return the folders of one or more searches, each once.

    Raises:
        RecordsError: There is no such search.
    """
    distinct = dict.fromkeys([names] if isinstance(names, str) else names)
    return [find_search(name, out) for name in distinct]


def read_studies(folders: Sequence[SearchFolder], out: str | Path | None) -> list["Study"]:
    """Return what the report of the searches in ``folders`` is made from.

    Raises:
        RecordsError: A table is damaged.
        SearchFileError: ``search.yaml`` of a search is damaged.
    """
    from tunebox.reports.report.study import Study

    place = None if out is None else str(out)
    studies = []
    for folder in folders:
        # the code of the user's own that it names is not run: a report needs the settings alone
        spec = spec_from_source(read_yaml(folder.search_file), checks_trials=False)
        log, new_seeds = read_log(folder), read_confirmed(folder)
        leaves = spec.space.leaves
        studies.append(Study(folder.name, log, leaves, spec.question, place, new_seeds))
    return studies
