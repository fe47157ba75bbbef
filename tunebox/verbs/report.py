"""``tunebox report``: one or more searches as a page."""

from collections.abc import Sequence
from pathlib import Path

from tunebox.errors import RecordsError
from tunebox.records.confirmed_table import read_confirmed
from tunebox.records.trial_tables import read_log
from tunebox.spec.load import spec_from_source
from tunebox.spec.yaml_source import read_yaml
from tunebox.verbs.results import find_search


def report(
    names: str | Sequence[str], *, to: str | Path | None = None, out: str | Path | None = None
) -> Path:
    """Write the report of one search, or of several side by side, and return its path.

    A search may still run: the report has what its tables have.

    Args:
        names: Name of a search, or names.
        to: The file to write. The default is ``report.html`` in the folder of the search; of
            several searches, ``report.html`` in the current folder.
        out: Folder of all searches.

    Raises:
        RecordsError: There is no such search, a table is damaged, or the file cannot be written.
        SearchFileError: ``search.yaml`` of a search is damaged.
    """
    folders = [find_search(name, out) for name in _distinct(names)]
    from tunebox.reports.report.page import write_report  # slow: not before a mistake is found
    from tunebox.reports.report.study import Study

    studies = []
    for folder in folders:
        # the code of the user's own that it names is not run: a report needs the settings alone
        spec = spec_from_source(read_yaml(folder.search_file), checks_trials=False)
        place = None if out is None else str(out)
        log, new_seeds = read_log(folder), read_confirmed(folder)
        leaves = spec.space.leaves
        studies.append(Study(folder.name, log, leaves, spec.question, place, new_seeds))
    default = folders[0].report if len(folders) == 1 else Path("report.html")
    path = Path(to) if to is not None else default
    if path.is_dir():
        raise RecordsError(f"{path} is a folder; give the file with --to FILE.html")
    try:
        write_report(studies, path)
    except OSError as error:
        raise RecordsError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def _distinct(names: str | Sequence[str]) -> list[str]:
    return list(dict.fromkeys([names] if isinstance(names, str) else names))
