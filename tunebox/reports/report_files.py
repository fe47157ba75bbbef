"""Draws a search when it ends: a report and a picture of the front in its folder."""

import logging

from tunebox.decisions.events import Event, Observer, SearchEnded
from tunebox.decisions.trials import TrialLog
from tunebox.records.search_folder import SearchFolder
from tunebox.spec.search_settings import default_out
from tunebox.spec.search_spec import SearchSpec
from tunebox.text import printable

_log = logging.getLogger(__name__)


class ReportFiles(Observer):
    """Writes ``report.html`` and ``front.png``."""

    def __init__(self, folder: SearchFolder, spec: SearchSpec, log: TrialLog) -> None:
        """Remember what to draw; files are written when the search ends.

        Args:
            folder: The folder of the search.
            spec: Settings of the search.
            log: The trials of the search; brought up to date before each event.
        """
        self._folder = folder
        self._spec = spec
        self._log = log
        self.warnings: list[str] = []  # problems that did not stop the search

    def on(self, event: Event) -> None:
        """Draw at the end of the search."""
        if not isinstance(event, SearchEnded):
            return
        from tunebox.reports.front_image import write_front_png
        from tunebox.reports.report.page import write_report
        from tunebox.reports.report.study import Study

        folder, spec = self._folder, self._spec
        out = None if spec.search.out == default_out() else spec.search.out
        study = Study(folder.name, self._log, spec.space.leaves, spec.question, out)
        try:
            write_report([study], folder.report)
            write_front_png(self._log, folder.name, folder.front_png)
        except OSError as error:
            self.warnings.append(f"{folder.root}: report not drawn: {error.strerror or error}")
            _log.warning("%s", printable(self.warnings[-1]))
