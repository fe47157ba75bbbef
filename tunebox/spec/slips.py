"""Settings that are allowed and likely a slip, such as noise for pixels from 0 to 255."""

from collections.abc import Iterator

from tunebox.settings import Settings, Usual
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Choice, Space, Values


def likely_slips(spec: SearchSpec) -> list[str]:
    """Return a line for each setting whose largest value is unusual; most searches have none."""
    lines = {}
    for values in _largest(spec.space):
        _, origin = spec.space.resolve(values)
        for path, value, mark in _unusual(spec.trial(values), ""):
            place = origin.get(path, path)
            lines[place] = (
                f"{spec.source.name}: {place}: {value:g} is unusually large; above {mark.most:g}, "
                f"{mark.reason}"
            )
    return list(lines.values())


def _largest(space: Space) -> Iterator[Values]:
    """Yield values so that each leaf has its largest value once, and each option."""
    pins: list[Values] = [{}]
    for leaf in space.leaves:
        spread = leaf.distribution
        values = spread.options if isinstance(spread, Choice) else spread.ends[-1:]
        pins += [{**dict(leaf.condition), leaf.path: value} for value in values]
    for pinned in pins:
        yield space.filled(pinned, -1)


def _unusual(settings: Settings, path: str) -> Iterator[tuple[str, float, Usual]]:
    """Yield the path, the value and the mark of each setting above what is usual."""
    fields = type(settings).model_fields
    for name, value in settings:
        marks = fields[name].metadata if name in fields else []
        for mark in marks:
            if isinstance(mark, Usual) and value > mark.most:
                yield f"{path}{name}", value, mark
        if isinstance(value, Settings):
            yield from _unusual(value, f"{path}{name}/")
