"""Text that others have written, such as names, reasons and settings, in a terminal or a shell.

Markdown is made in `tunebox.records.markdown`, text of plots in `tunebox.reports.plot_text`.
"""

import os
import re
import shlex
import unicodedata
from pathlib import Path

# Control characters, formats such as a change of direction, halves of characters, line breaks.
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # formats without which some scripts cannot be written
_COLOURS = re.compile(r"\x1b\[[\d;]*m")


def printable(text: str) -> str:
    r"""Return ``text`` on one line, with characters that would control a terminal as ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(_escaped(char) if _is_control(char) else char for char in text)


def counted(number: int, one: str, several: str) -> str:
    """Return the number, followed by the words that agree with it."""
    return f"{number:,} {one if number == 1 else several}"


def printable_lines(text: str) -> str:
    """Return the lines of ``text``, each as `printable` returns it; colours are left out."""
    return "\n".join(map(printable, without_colours(text).expandtabs().split("\n")))


def without_colours(text: str) -> str:
    """Return ``text`` without the sequences that colour it in a terminal."""
    return _COLOURS.sub("", text)


def shell_command(*words: str | Path) -> str:
    """Return the command line, fit to be printed, that a shell splits into ``words``.

    Args:
        words: A path as a `Path` is taken for no option, whatever it starts with.
    """
    return " ".join(map(_shell_word, words))


def _shell_word(word: str | Path) -> str:
    text = str(word)
    if isinstance(word, Path) and text.startswith("-"):
        text = f"./{text}"
    if printable(text) == text:
        return shlex.quote(text)
    plain = (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}" for byte in _quotable(text))
    return f"$'{''.join(plain)}'"


def _quotable(text: str) -> bytes:
    return os.fsencode(text).replace(b"\\", b"\\\\").replace(b"'", b"\\'")


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in _UNPRINTABLE and char not in _JOINERS


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
