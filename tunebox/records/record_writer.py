"""Writing the files of a search while it runs: a problem must not end trials that still run."""

import logging
from abc import ABC, abstractmethod

from tunebox.decisions.events import Event, Observer, SearchEnded
from tunebox.decisions.trials import TrialLog
from tunebox.errors import RecordsError
from tunebox.records.search_folder import SearchFolder
from tunebox.text import printable

_log = logging.getLogger(__name__)


class RecordWriter(Observer, ABC):
    """Writes files from the trials of a search when it ends; a derived class also in between.

    Attributes:
        warnings: What could not be written, a line for each problem.
    """

    content = "files"  # what is written, for a warning

    def __init__(self, folder: SearchFolder, log: TrialLog) -> None:
        """Write nothing yet.

        Args:
            folder: Where the files are.
            log: The trials of the search; brought up to date before each event.
        """
        self.folder = folder
        self.log = log
        self.warnings: list[str] = []

    @abstractmethod
    def write(self) -> None:
        """Write the files with what is in the log.

        Raises:
            OSError: The disk is full, or the folder is gone.
            RecordsError: The same, already put in words.
        """

    def on(self, event: Event) -> None:
        """Write at the end of the search."""
        if isinstance(event, SearchEnded):
            self.write_or_warn()

    def write_or_warn(self) -> None:
        """Write, or note in a warning why not."""
        try:
            self.write()
        except OSError as error:
            reason = error.strerror or error
            self._warn(f"{self.folder.root}: {self.content} not written: {reason}")
        except RecordsError as error:
            self._warn(str(error))

    def _warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)
            _log.warning("%s", printable(message))
