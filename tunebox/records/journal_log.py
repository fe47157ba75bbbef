"""The trials of a search as its journal has them, without the decisions that a resume needs."""

from collections.abc import Sequence

from tunebox.decisions.events import apply_to_log
from tunebox.decisions.trials import TrialLog
from tunebox.errors import RecordsError
from tunebox.records.checkpoints import checkpoint_of
from tunebox.records.journal import read_journal
from tunebox.records.search_folder import SearchFolder
from tunebox.spec.load import spec_from_source
from tunebox.spec.space import Leaf
from tunebox.spec.yaml_source import read_yaml


def log_from_journal(folder: SearchFolder) -> tuple[TrialLog, Sequence[Leaf], str | None]:
    """Return the trials of a search, its searched leaves, and a line if the journal lacks its end.

    Raises:
        RecordsError: The journal is missing or damaged, or is that of another search.
        SearchFileError: ``search.yaml`` is missing or damaged.
    """
    source = read_yaml(folder.search_file)
    spec = spec_from_source(source, checks_trials=False)  # whose code may be elsewhere
    journal = read_journal(folder.journal)
    log = TrialLog(spec.objective_set, spec.constraint_set)
    try:
        for event in journal.events:
            apply_to_log(log, event)
    except KeyError as error:
        raise RecordsError(f"{folder.journal} lacks the start of trial {error}") from error
    note_weights(log, folder)
    return log, spec.space.leaves, journal.warning


def note_weights(log: TrialLog, folder: SearchFolder) -> None:
    """Note in the trials of the front where their weights are; the journal does not say it."""
    for trial in log.front():
        weights = checkpoint_of(folder.checkpoints / trial.trial_id, trial.epochs)
        trial.checkpoint = None if weights is None else str(weights.relative_to(folder.root))
