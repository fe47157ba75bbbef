"""Writes search.yaml and the tables of a search while it runs."""

from tunebox.decisions.events import Event, SearchStarted
from tunebox.decisions.trials import TrialLog
from tunebox.records.files import write_text
from tunebox.records.rate_limit import RateLimit
from tunebox.records.record_writer import RecordWriter
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import write_tables
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.write import search_yaml

_PAUSE = 5.0  # seconds; longer once writing takes long


class TableWriter(RecordWriter):
    """Writes the tables at the start, at the end, and every few seconds in between."""

    content = "tables"

    def __init__(self, folder: SearchFolder, spec: SearchSpec, log: TrialLog) -> None:
        """Take the settings of the search too; its start writes first."""
        super().__init__(folder, log)
        self._spec = spec
        self._rate = RateLimit(_PAUSE)

    def on(self, event: Event) -> None:
        """Write at the start and at the end of the search."""
        super().on(event)
        if isinstance(event, SearchStarted):
            write_text(self.folder.search_file, search_yaml(self._spec))
            self._rate.run(self.write_or_warn)

    def tick(self) -> None:
        """Write if the last writing is long enough ago."""
        if self._rate.is_due:
            self._rate.run(self.write_or_warn)

    def write(self) -> None:
        """Write trials, history and front."""
        write_tables(self.folder, self.log, self._spec.space.leaves)
