"""The text of others in plots, which have small languages of their own."""

from html import escape

from tunebox.text import printable


def html_text(words: str) -> str:
    """Return ``words`` for an HTML page, and for plotly, which reads some tags in its texts."""
    return escape(printable(words))


def matplotlib_text(words: str) -> str:
    """Return ``words`` for matplotlib, which reads formulas between dollars."""
    plain = printable(words).replace("$", r"\$")
    return f" {plain}" if plain.startswith("_") else plain  # else it would be hidden in a legend
