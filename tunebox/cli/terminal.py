"""What the commands print: text alone, on any terminal.

Names, settings and reasons may come from files of others. Nothing in them controls the terminal,
and a terminal that lacks a character gets its code.
"""

import io
import select
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from tunebox.text import printable, printable_lines


class _TextConsole(Console):
    """A console on which every string is a line of text."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return ``text``, a line or a cell of a table, without control characters."""
        return super().render_str(printable(text), **options)


def make_console() -> Console:
    """Return the console that the verbs print to."""
    # names and paths are printed as they are: [old] is no markup and :x: no picture
    return _TextConsole(markup=False, emoji=False, highlight=False)


def printer(console: Console) -> Callable[[str], None]:
    """Return a function that prints a line without wrapping it."""
    return partial(console.print, soft_wrap=True, highlight=False)


def say(text: str) -> None:
    """Print lines to stdout, at once: the command may run on, with a log or a pipe as stdout."""
    print(printable_lines(text), flush=True)


def complain(text: str) -> None:
    """Print lines to stderr."""
    print(printable_lines(text), file=sys.stderr)


def accept_all_characters() -> None:
    """Let stdout and stderr print the code of a character that their encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def has_reader(stream: TextIO) -> bool:
    """Return False if a stream is a pipe or socket whose other end was closed."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # no file, or closed
        return True
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return not any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
