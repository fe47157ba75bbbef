"""Writes search.yaml and the tables of a search while it runs."""

import logging

from tunebox.decisions.events import Event, Observer, SearchEnded, SearchStarted
from tunebox.decisions.trials import TrialLog
from tunebox.records.files import write_text
from tunebox.records.rate_limit import RateLimit
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import write_tables
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.write import search_yaml
from tunebox.text import printable

_log = logging.getLogger(__name__)

_PAUSE = 5.0  # seconds; longer once writing takes long


class TableWriter(Observer):
    """Writes the tables at the start, at the end, and every few seconds in between."""

    def __init__(self, folder: SearchFolder, spec: SearchSpec, log: TrialLog) -> None:
        """Remember what to write; the start of the search writes first.

        Args:
            folder: The folder of the search.
            spec: Settings of the search.
            log: The trials of the search; brought up to date before each event.
        """
        self._folder = folder
        self._spec = spec
        self._log = log
        self._rate = RateLimit(_PAUSE)
        self.warnings: list[str] = []  # problems that did not stop the search

    def on(self, event: Event) -> None:
        """Write at the start and at the end of the search."""
        if isinstance(event, SearchStarted):
            write_text(self._folder.search_file, search_yaml(self._spec))
            self._rate.run(self._write)
        elif isinstance(event, SearchEnded):
            self._write()

    def tick(self) -> None:
        """Write if the last writing is long enough ago."""
        if self._rate.is_due:
            self._rate.run(self._write)

    def _write(self) -> None:
        try:
            write_tables(self._folder, self._log, self._spec.space.leaves)
        except OSError as error:  # a full disk must not end a search whose trials still run
            message = f"{self._folder.root}: tables not written: {error.strerror or error}"
            if message not in self.warnings:
                self.warnings.append(message)
                _log.warning("%s", printable(message))
