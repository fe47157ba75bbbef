"""``tunebox export``: trials of a search as folders with weights, a card, and more."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunebox.errors import OptionError
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import read_log
from tunebox.text import shell_command
from tunebox.verbs.results import find_search

if TYPE_CHECKING:
    from tunebox.decisions.confirmed import Confirmed
    from tunebox.decisions.trials import TrialRecord
    from tunebox.records.export import Exported


def export(
    name: str,
    *,
    to: str | Path | None = None,
    pick: str = "all",
    format: str | None = "torch_export",
    register: str | None = None,
    out: str | Path | None = None,
    tracking_uri: str | None = None,
) -> "Exported":
    """Write trials of the search ``name`` into folders in ``to``, or register them in MLflow.

    A folder has the weights (``model.safetensors``), a description of input and output
    (``model.json``), the settings (``trial.yaml``), a card (``README.md``), and a file that gives
    the same logits without tunebox.

    Args:
        name: Name of the search.
        to: Folder for the folders of the trials; it is created if absent. None: write no folders.
        pick: ``all`` of the front, its ``knee``, ``best:METRIC``, ``compromise:METRIC>=VALUE``
            (the best in the other objectives within a bound), or the id of a trial. The knee is
            that of the confirmed front if there is one.
        format: Format of the file that can be used without tunebox: ``torch_export``, ``onnx`` or
            ``torchscript``; None writes none. It is compared with the model on 64 images.
        register: Name of a registered model in MLflow, of which each trial becomes a version. The
            alias of the version is the pick, such as ``knee``, unless that is ``all`` or an id.
        out: Folder of all searches.
        tracking_uri: Address of MLflow; None for the one that the search was given.

    Raises:
        RecordsError: No such search, trial, metric or format, or a target that exists.
    """
    from tunebox.records.confirmed_table import read_confirmed
    from tunebox.records.export import Exported, export_trials, pick_trials

    folder = find_search(name, out)
    confirmed = read_confirmed(folder)
    picks = pick_trials(read_log(folder), pick, confirmed)
    if to is None and register is None:
        raise OptionError("to", " names a folder, and --register a model in MLflow: give one")
    exported = Exported()
    if to is not None:
        exported = export_trials(folder, picks, Path(to), confirmed, format=format)
    if register is not None:
        exported.registered = _registered(folder, picks, register, pick, tracking_uri, confirmed)
    if pick == "knee" and confirmed is None:
        again = shell_command("tunebox", "confirm", name, *folder.out_option)
        exported.notes.append(
            "picked by the search's own results, of one seed; to train the front again with "
            f"others: {again}"
        )
    return exported


def _registered(
    folder: SearchFolder,
    picks: Sequence["TrialRecord"],
    name: str,
    pick: str,
    tracking_uri: str | None,
    confirmed: "Confirmed | None",
) -> list[str]:
    """Register trials; return the address of each version."""
    from tunebox.spec.load import load_spec
    from tunebox.tracking.registry import alias_of, register_trials
    from tunebox.tracking.sync import search_tracking_uri

    versions = register_trials(
        folder,
        load_spec(str(folder.search_file), code=folder.code),
        picks,
        name,
        pick=pick,
        alias=alias_of(pick, [trial.trial_id for trial in picks]),
        uri=search_tracking_uri(folder, tracking_uri),
        confirmed=confirmed,
    )
    return [f"{version.uri} is trial {version.trial_id}" for version in versions]
