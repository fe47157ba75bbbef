"""Settings as options of a command: each is described once, in its settings class."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from types import NoneType
from typing import Annotated, Any, get_args

import typer

from tunebox.spec.search_options import SearchOption


def with_options(
    verb: Callable[..., None], options: Iterable[SearchOption], place: int
) -> inspect.Signature:
    """Return the signature of ``verb`` with a parameter for each of ``options``.

    They are in place of ``**options``, behind the first ``place`` parameters.
    """
    signature = inspect.signature(verb)
    own = [p.replace(kind=p.KEYWORD_ONLY) for p in signature.parameters.values()]
    own = [parameter for parameter in own if parameter.name != "options"]
    return signature.replace(parameters=[*own[:place], *_parameters(options), *own[place:]])


def _parameters(options: Iterable[SearchOption]) -> Iterator[inspect.Parameter]:
    for option in options:
        if option.use.typed:
            yield inspect.Parameter(
                option.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=_annotation(option),
            )


def _annotation(option: SearchOption) -> Any:
    """Return the annotation for typer; words and bounds are checked with the settings."""
    types = [kind for kind in get_args(option.type) or [option.type] if kind is not NoneType]
    metavar = option.use.metavar
    if option.type == list[str]:
        return Annotated[
            list[str] | None, typer.Option(metavar=option.use.metavar, help=option.help)
        ]
    numbers = [kind for kind in types if kind in (int, float)]
    metavar = option.use.metavar
    if option.words:
        metavar = "|".join([*(kind.__name__.upper() for kind in numbers), *option.words])
    parser = _number_or_word if numbers and option.words else None
    kind = numbers[0] if numbers else str
    return Annotated[kind | None, typer.Option(metavar=metavar, parser=parser, help=option.help)]


def _number_or_word(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
