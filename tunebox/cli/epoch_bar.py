"""The bar that ``tunebox train`` draws while it trains."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tunebox.reports.format import format_metric

if TYPE_CHECKING:
    from tunebox.verbs.train import TrainedEpoch

_SHOWN = ("clean_accuracy", "noisy_accuracy", "train_loss")


@contextmanager
def epoch_bar(console: Console) -> Iterator[Callable[["TrainedEpoch"], None]]:
    """Draw a bar of epochs; yield the function that advances it."""
    columns = (
        TextColumn("epoch"),
        MofNCompleteColumn(),
        BarColumn(bar_width=20),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    progress = Progress(*columns, console=console)
    task = progress.add_task("", total=None)

    def on_epoch(trained: "TrainedEpoch") -> None:
        progress.start()  # not earlier, so that an error in the file prints nothing but its line
        shown = ", ".join(
            f"{name.replace('_', ' ')} {format_metric(name, trained.metrics[name])}"
            for name in _SHOWN
            if name in trained.metrics
        )
        progress.update(task, completed=trained.epoch, total=trained.max_epochs, description=shown)

    try:
        yield on_epoch
    finally:
        if progress.live.is_started:
            progress.stop()
