"""The bar of a pass over all images."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def file_bar(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Draw a bar of files on a terminal; yield the function that advances it."""
    columns = (
        TextColumn("images read"),
        MofNCompleteColumn(),
        BarColumn(bar_width=20),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = progress.add_task("", total=None)

    def on_file(done: int, total: int) -> None:
        if done == 1:
            progress.start()  # not earlier: what is read may have no files
        progress.update(task, completed=done, total=total)
        if done == total:
            progress.stop()

    try:
        yield on_file
    finally:
        progress.stop()
