"""``tunebox export``: trials of a search as folders with weights, a card, and more."""

from pathlib import Path
from typing import TYPE_CHECKING

from tunebox.records.trial_tables import read_log
from tunebox.text import shell_command
from tunebox.verbs.results import find_search

if TYPE_CHECKING:
    from tunebox.records.export import Exported


def export(
    name: str,
    *,
    to: str | Path,
    pick: str = "all",
    format: str | None = "torch_export",
    out: str | Path | None = None,
) -> "Exported":
    """Write trials of the search ``name`` into ``to``, a folder each.

    A folder has the weights (``model.safetensors``), what the model takes and gives
    (``model.json``), the settings (``trial.yaml``), a card (``README.md``), and a file that gives
    the same logits without tunebox.

    Args:
        name: Name of the search.
        to: Folder for the folders of the trials; made when absent.
        pick: ``all`` of the front, its ``knee``, ``best:METRIC``, ``compromise:METRIC>=VALUE``
            (the best in the other objectives within a bound), or the id of a trial. The knee is
            that of the confirmed front where there is one.
        format: Format of the file that needs no tunebox: ``torch_export``, ``onnx`` or
            ``torchscript``; None writes none. It is compared with the model on 64 images.
        out: Folder of all searches.

    Raises:
        RecordsError: No such search, trial, metric or format, or a target that exists.
    """
    from tunebox.records.confirmed_table import read_confirmed
    from tunebox.records.export import export_trials, pick_trials

    folder = find_search(name, out)
    confirmed = read_confirmed(folder)
    picks = pick_trials(read_log(folder), pick, confirmed)
    exported = export_trials(folder, picks, Path(to), confirmed, format=format)
    if pick == "knee" and confirmed is None:
        again = shell_command("tunebox", "confirm", name, *folder.out_option)
        exported.notes.append(
            "picked by the search's own results, of one seed; to train the front again with "
            f"others: {again}"
        )
    return exported
