from pathlib import Path

from tests.records.make_log import make_log, make_spec
from tunebox.decisions.events import SearchEnded
from tunebox.records.search_folder import create_folder
from tunebox.reports.report_files import ReportFiles


def test_a_search_that_ends_has_a_report_and_a_picture(tmp_path: Path) -> None:
    folder = create_folder(tmp_path, "made-1")
    files = ReportFiles(folder, make_spec(), make_log(10))
    files.on(SearchEnded(1.0, interrupted=False))
    assert folder.report.name == "report.html"
    assert "made-1: report of tunebox" in folder.report.read_text(encoding="utf-8")
    assert folder.front_png.exists()
    assert files.warnings == []


def test_a_folder_that_is_gone_is_a_warning(tmp_path: Path) -> None:
    folder = create_folder(tmp_path, "made-1")
    files = ReportFiles(folder, make_spec(), make_log(3))
    folder.root.rmdir()
    files.on(SearchEnded(1.0, interrupted=False))
    [warning] = files.warnings
    assert "report not written: No such file or directory" in warning
