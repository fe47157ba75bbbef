"""Lines for a person, whatever else is on the screen."""

import io

import pytest
from rich.console import Console
from rich.live import Live

from tunebox.cli.terminal import printer

LINE = "trial 0000 starts again: " + "its worker process died " * 9


@pytest.mark.parametrize("is_live", [False, True])
def test_a_line_is_printed_once_and_at_once(is_live: bool) -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=is_live, width=80, color_system=None)
    if not is_live:
        printer(console)(LINE)
        assert text.getvalue() == f"{LINE}\n"
        return
    with Live("the display", console=console, auto_refresh=False):
        printer(console)(LINE)
        assert text.getvalue().count("trial 0000 starts again: its worker") == 1
    assert text.getvalue().count("trial 0000 starts again: its worker") == 1
