"""``tunebox parts``: what can be written where a search file has a ``kind``."""

from typing import TYPE_CHECKING, Annotated

import typer

from tunebox.cli.terminal import make_console

if TYPE_CHECKING:
    from rich.table import Table

    from tunebox.spec.part_table import PartEntry


def parts(
    which: Annotated[
        str | None,
        typer.Argument(
            metavar="[GROUP[/KIND]]",
            help="A group of parts, such as model, or one part, such as model/resnet18 or "
            "noise/parts.py:my_noise.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """List the parts that a search file can name: models, noises, loss terms and so on.

    Example: tunebox parts model/small_conv
    """
    from tunebox.spec.part_table import entries

    found = entries(which)
    console = make_console()
    if which is None:
        console.print(_overview(found))
        return
    for entry in found:
        console.print(f"{entry.group}/{entry.kind}", style="bold")
        console.print(f"  {entry.meaning}")
        if entry.arguments:
            console.print(_arguments(entry))
            console.print()


def _overview(entries: "list[PartEntry]") -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("group", "kind", "what it is"):
        table.add_column(heading, overflow="fold")
    last = ""
    for entry in entries:
        table.add_row("" if entry.group == last else entry.group, entry.kind, entry.meaning)
        last = entry.group
    return table


def _arguments(entry: "PartEntry") -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 2))
    for _ in range(4):
        table.add_column(overflow="fold")
    for argument in entry.arguments:
        default = "required" if argument.default == "required" else f"default {argument.default}"
        table.add_row(argument.name, argument.type, default, argument.meaning)
    return table
