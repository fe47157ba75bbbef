"""Bring a search home: its tables, pictures and the weights of its front."""

from pathlib import Path

from tunebox.cluster.site import RemoteSearch
from tunebox.errors import RecordsError
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import read_log
from tunebox.spec.search_spec import check_name

# checkpoints come apart; the rest belongs to the process there, and to the head's MLflow
_STAYS_THERE = ("/checkpoints", "/lock", "/mlflow*", ".*")


def check_same_search(search: RemoteSearch, out: Path) -> None:
    """Raise RecordsError if a search of that name is in ``out`` already that is another one."""
    folder = SearchFolder(out / search.name)
    if not folder.root.exists() or _is_empty(folder.root):
        return
    try:
        with folder.journal.open(encoding="utf-8") as file:
            here = file.readline() + file.readline()  # its format, and when it was started where
    except OSError:
        here = ""
    if here != search.read("journal.jsonl", lines=2):
        raise RecordsError(
            f"{folder.root} is there already and is another search than the cluster's; choose "
            "another folder with --out"
        )


def bring_home(search: RemoteSearch, out: Path) -> SearchFolder:
    """Bring what `tunebox front` and `tunebox export` need into ``out``, and return the folder.

    What was broken off can be done again: the journal, which says whose folder it is, comes first.

    Raises:
        HeadAway: The connection was lost; to be tried again.
        ClusterError: It cannot be copied.
    """
    folder = SearchFolder(out / search.name)
    excluded = [f"--exclude={pattern}" for pattern in _STAYS_THERE]
    search.head.fetch(search.folder, folder.root, "--include=/journal.jsonl", "--exclude=*")
    folder.run_end.unlink(missing_ok=True)  # an earlier run's, when the last one was killed
    search.head.fetch(search.folder, folder.root, *excluded)
    front = [trial.trial_id for trial in read_log(folder).front()]
    for trial_id in front:
        check_name(trial_id)  # it becomes the name of a folder here
    if front:
        wanted = [*(f"--include=/{trial_id}/***" for trial_id in front), "--exclude=*"]
        search.head.fetch(f"{search.folder}/checkpoints", folder.checkpoints, *wanted)
    return folder


def _is_empty(folder: Path) -> bool:
    """Whether there is nothing but what a copy leaves that was broken off at its very start."""
    return folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir())
