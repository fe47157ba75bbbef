"""The command ``report``."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

import tunebox
from tunebox.cli.common import Out
from tunebox.cli.terminal import say
from tunebox.errors import OptionError


def report(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of searches.")],
    *,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="File to write. [default: report.html in the folder of the search; for several "
            "searches, in the current folder]",
        ),
    ] = None,
    opens: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    live: Annotated[
        bool,
        typer.Option("--live", help="Serve the page on 127.0.0.1 until Ctrl-C, with live updates."),
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of --live. [default: a free port]"),
    ] = None,
    out: Out = None,
) -> None:
    """Write the report of one or more searches as one HTML page that works offline.

    It shows the front, the methods, the importance of settings, and learning curves.

    Example: tunebox report digits-1 --open
    """
    if not live:
        if port is not None:
            raise OptionError("port", f" {port}: is for --live")
        path = tunebox.report(names, to=to, out=out)
        _show(str(path), path.resolve().as_uri() if opens else None)
        return
    if to is not None:
        raise OptionError("to", f" {to}: --live writes no file; leave one of the two out")
    from tunebox.verbs.live_report import serve_report

    def on_ready(address: str) -> None:
        _show(f"{address}    # until Ctrl-C", address if opens else None)

    try:
        serve_report(names, out=out, port=port or 0, on_ready=on_ready)
    except KeyboardInterrupt:
        say("")


def _show(line: str, address: str | None) -> None:
    say(line)
    if address is not None:
        webbrowser.open(address)
