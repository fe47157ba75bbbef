"""Keeps the checkpoints that a search needs, and removes the others."""

from collections.abc import Callable
from pathlib import Path

from tunebox.decisions.events import Ended, Event, Observer, SearchStarted
from tunebox.decisions.trials import TrialLog, TrialRecord
from tunebox.records.checkpoints import (
    checkpoint_files,
    checkpoint_of,
    damage,
    keep,
    remove_checkpoints,
)


class CheckpointKeeper(Observer):
    """Keeps the weights of the front and of trials that have not ended.

    It notes the file of a trial on the front in its record, relative to the search's folder. It
    must observe right after the journal: a checkpoint may be removed only once the journal has the
    event that makes it superfluous.
    """

    def __init__(self, root: Path, log: TrialLog, note: Callable[[str], None]) -> None:
        """Remember where to look; files change with the first event.

        Args:
            root: Folder of the search.
            log: Its trials.
            note: Called with a line about weights that are lost.
        """
        self._root = root
        self._folder = root / "checkpoints"
        self._log = log
        self._note = note
        self._with_weights: dict[str, TrialRecord] = {}  # the trials with a noted file

    def on(self, event: Event) -> None:
        """Find the weights of the front at the start; look at the front after each end."""
        if isinstance(event, SearchStarted):
            for record in self._log.front():
                self._find_weights(record)
            self._remove_leftovers()
        elif isinstance(event, Ended) and self._log.trials[event.trial_id].end_is_final:
            self._keep_front(self._log.trials[event.trial_id])

    def _find_weights(self, record: TrialRecord) -> None:
        """Note the weights of a trial on the front: whole, and of its last epoch.

        Those of another epoch are not the result's. A worker that trained the last epoch before
        an earlier process was killed may have left half a file.
        """
        last = checkpoint_of(self._folder / record.trial_id, record.epochs)
        reason = "no checkpoint" if last is None else damage(last)
        if last is not None and reason is None:
            record.checkpoint = str(last.relative_to(self._root))
            self._with_weights[record.trial_id] = record
        else:
            self._note(_lost_weights(record, str(reason)))

    def _remove_leftovers(self) -> None:
        self._folder.mkdir(exist_ok=True)
        front = {record.trial_id: record.checkpoint for record in self._log.front()}
        for folder in self._folder.iterdir():
            record = self._log.trials.get(folder.name)
            if folder.name in front:
                keep(folder, [Path(front[folder.name] or "").name])
            elif record is not None and not record.end_is_final:
                keep(folder, [path.name for path in checkpoint_files(folder)])
            else:
                remove_checkpoints(folder)

    def _keep_front(self, record: TrialRecord) -> None:
        """Keep the checkpoint of ``record`` if it is on the front; remove those it displaced."""
        front = {trial.trial_id for trial in self._log.front()}
        if record.trial_id in front:
            self._find_weights(record)
        for trial_id in self._with_weights.keys() - front:
            self._with_weights.pop(trial_id).checkpoint = None
            remove_checkpoints(self._folder / trial_id)
        folder = self._folder / record.trial_id
        if record.checkpoint is None:
            remove_checkpoints(folder)
        else:
            keep(folder, [Path(record.checkpoint).name])


def _lost_weights(record: TrialRecord, reason: str) -> str:
    return (
        f"trial {record.trial_id} is on the front and has lost its weights ({reason}); "
        "tunebox export writes its trial file, and tunebox train makes them anew"
    )
