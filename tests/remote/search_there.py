"""The folder of a search as one leaves it on a cluster."""

from pathlib import Path

from tests.records.make_log import make_log, make_spec
from tunebox.decisions.events import SearchStarted
from tunebox.records.journal import JournalWriter, make_journal
from tunebox.records.run_end import RunEnd, write_run_end
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import write_tables
from tunebox.spec.write import search_yaml

END = RunEnd(
    tracking_uri="http://127.0.0.1:5000",
    interrupted=False,
    ended="all trials have ended",
    is_complete=True,
    warnings=[],
    go_on="",
    trouble=None,
    traceback=None,
)


def write_search(out: Path, name: str) -> SearchFolder:
    """Write a search that has ended, and return its folder."""
    spec = make_spec()
    log = make_log(20, objectives=spec.objective_set)
    folder = SearchFolder(out / name)
    folder.root.mkdir(parents=True)
    folder.search_file.write_text(search_yaml(spec), encoding="utf-8")
    make_journal(folder.journal, name)
    JournalWriter(folder.journal, name).on(SearchStarted(1.0, "host", 1))
    write_tables(folder, log, spec.space.leaves)
    for trial in log.front():
        weights = folder.checkpoints / trial.trial_id / "000009.pt"
        weights.parent.mkdir(parents=True)
        weights.write_bytes(b"weights")
    write_run_end(folder.run_end, END)
    return folder
