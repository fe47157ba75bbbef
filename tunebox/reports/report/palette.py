"""Colours and marker shapes of the methods, for a light and a dark page.

Each colour has a contrast of at least 3 with its background, and colour-blind people can tell the
first five apart; the shapes tell all of them apart.
"""

BACKGROUND = {"light": "#FFFFFF", "dark": "#15181C"}
COLOURS = {
    "light": (
        *("#0072B2", "#D17A00", "#007A52", "#B8488F"),
        *("#7A1F0A", "#6B6B6B", "#5B2A9D", "#1797A6"),
    ),
    "dark": (
        *("#4BA3E3", "#FFB64A", "#1FAE7E", "#F19ACB"),
        *("#D9532C", "#A8A8A8", "#9A78E0", "#7FE3EE"),
    ),
}
SHAPES = (  # of plotly
    *("circle", "square", "diamond", "triangle-up"),
    *("triangle-down", "pentagon", "hexagon", "star-triangle-up"),
)
INK, MUTED, GRID = "@ink", "@muted", "@grid"  # the page puts the colour of its theme there


def colour(number: int) -> str:
    """Return the colour of the method ``number``, from 0."""
    return f"@c{number % len(SHAPES)}"


def shape(number: int) -> str:
    """Return the marker of the method ``number``, from 0."""
    return SHAPES[number % len(SHAPES)]
