"""Download a search from a cluster: its tables, plots and the weights of its front."""

from pathlib import Path

from tunebox.errors import RecordsError
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import read_log
from tunebox.remote.remote_search import RemoteSearch
from tunebox.spec.search_settings import check_name

# checkpoints are copied separately; the rest belongs to the remote process and its MLflow
_EXCLUDED = ("/checkpoints", "/lock", "/mlflow*", ".*")


def check_same_search(search: RemoteSearch, out: Path) -> None:
    """Raise RecordsError if ``out`` has another search with the same name."""
    folder = SearchFolder(out / search.name)
    if not folder.root.exists() or _is_empty(folder.root):
        return
    try:
        with folder.journal.open(encoding="utf-8", errors="surrogateescape") as file:
            here = file.readline() + file.readline()  # format, and when and where it began
    except OSError:
        here = ""
    if here != search.read("journal.jsonl", lines=2):
        raise RecordsError(
            f"{folder.root} is there already and is not the search of the cluster; choose "
            "another folder with --out"
        )


def download_search(search: RemoteSearch, out: Path) -> SearchFolder:
    """Copy what `tunebox front` and `tunebox export` need into ``out``, and return the folder.

    An interrupted download can be repeated: the journal, by which `check_same_search` recognises
    the search, is copied first.

    Raises:
        HeadUnreachable: The connection was lost; the download can be repeated.
        ClusterError: A file cannot be copied.
    """
    folder = SearchFolder(out / search.name)
    excluded = [f"--exclude={pattern}" for pattern in _EXCLUDED]
    search.head.fetch(search.folder, folder.root, "--include=/journal.jsonl", "--exclude=*")
    folder.run_end.unlink(missing_ok=True)  # of an earlier run, if the last run was killed
    search.head.fetch(search.folder, folder.root, *excluded)
    front = [trial.trial_id for trial in read_log(folder).front()]
    for trial_id in front:
        check_name(trial_id)  # it becomes the name of a folder on this machine
    if front:
        wanted = [*(f"--include=/{trial_id}/***" for trial_id in front), "--exclude=*"]
        search.head.fetch(f"{search.folder}/checkpoints", folder.checkpoints, *wanted)
    return folder


def _is_empty(folder: Path) -> bool:
    """Return whether the folder has only what an interrupted download leaves."""
    return folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir())
