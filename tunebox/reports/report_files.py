"""Draws a search when it ends: a report and a picture of the front in its folder."""

from tunebox.decisions.trials import TrialLog
from tunebox.records.record_writer import RecordWriter
from tunebox.records.search_folder import SearchFolder
from tunebox.spec.search_settings import default_out
from tunebox.spec.search_spec import SearchSpec


class ReportFiles(RecordWriter):
    """Writes ``report.html`` and ``front.png``."""

    content = "report"

    def __init__(self, folder: SearchFolder, spec: SearchSpec, log: TrialLog) -> None:
        """Take the settings of the search too."""
        super().__init__(folder, log)
        self._spec = spec

    def write(self) -> None:
        """Draw both."""
        from tunebox.reports.front_image import write_front_png
        from tunebox.reports.report.page import write_report
        from tunebox.reports.report.study import Study

        folder, spec = self.folder, self._spec
        out = None if spec.search.out == default_out() else spec.search.out
        study = Study(folder.name, self.log, spec.space.leaves, spec.question, out)
        write_report([study], folder.report)
        write_front_png(self.log, folder.name, folder.front_png)
