"""Options of a search for Python, the command line, a resume, a replay and the documentation."""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args, get_origin, get_type_hints

from tunebox.errors import TuneboxError
from tunebox.pareto.isolation import FrontRule
from tunebox.settings import Settings
from tunebox.spec.search_settings import Option, SearchSettings, StopWhen

_SETTING = re.compile("`([a-z_]+)`")  # in a description


class SearchOptions(TypedDict, total=False):
    """Keyword options of `tunebox.search`: the fields of `SearchSettings`."""

    trials: int
    epochs: int | None
    time_budget: float | None
    stop_when: StopWhen | None
    repeats: int
    max_epochs: int
    min_epochs: int | None
    reduction_factor: int
    front_rule: FrontRule
    sampler: Literal["tpe", "nsga2", "gp", "qmc", "random"] | str
    scheduler: Literal["ladder", "model"]
    max_paused: int
    warm_start: list[str]
    seed: int
    cpus_per_trial: float | Literal["node"]
    gpus_per_trial: float | Literal["auto"]
    max_concurrent: int | None
    max_failures: int
    max_failed_fraction: float
    name: str | None
    out: str
    address: str | None


@dataclass(frozen=True)
class SearchOption:
    """A setting of ``search`` as an option.

    Attributes:
        name: Its name in Python and in a search file.
        type: Its type without bounds.
        description: A sentence; names of other settings are in backticks.
        use: Where it can be given.
        default: Its default in words; names of other settings are in backticks.
    """

    name: str
    type: Any
    description: str
    use: Option
    default: str

    @property
    def spelling(self) -> str:
        """The option as it is typed, like ``--max-epochs``."""
        return spelling(self.name)

    @property
    def words(self) -> tuple[str, ...]:
        """The words that the value can be."""
        parts = (self.type, *get_args(self.type))
        return tuple(
            word for part in parts if get_origin(part) is Literal for word in get_args(part)
        )

    @property
    def help(self) -> str:
        """The description with its default, for the command line."""
        text = f"{self.description} [default: {self.default}]"
        return _SETTING.sub(lambda found: spelling(found[1]), text)


def spelling(name: str) -> str:
    """Return the setting ``name`` as an option of the command line."""
    return f"--{name.replace('_', '-')}"


def search_options() -> Iterator[SearchOption]:
    """Yield the settings of ``search`` in the order in which they are documented."""
    return options_of(SearchSettings)


def options_of(settings: type[Settings]) -> Iterator[SearchOption]:
    """Yield the fields of ``settings`` as options; each has a description and an `Option`."""
    hints = get_type_hints(settings)
    for name, field in settings.model_fields.items():
        [use] = [item for item in field.metadata if isinstance(item, Option)]
        assert field.description is not None
        default = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
        yield SearchOption(name, hints[name], field.description, use, use.default or default)


RESUMABLE = tuple(option.name for option in search_options() if option.use.resumable)
REPLAYABLE = tuple(option.name for option in search_options() if option.use.replayable)


def check_names(
    names: Iterable[str],
    known: Collection[str] = tuple(SearchSettings.model_fields),
    what: str = "a search",
) -> None:
    """Raise TuneboxError for a name that is no option of ``what``, with the nearest that is."""
    for name in names:
        if name not in known:
            raise TuneboxError(f"{name}: no option of {what}; {nearest_name(name, known)}")


def nearest_name(name: str, names: Iterable[str]) -> str:
    """Return what to write for ``name``: the nearest of ``names``, all where none is near."""
    names = list(names)
    near = difflib.get_close_matches(name.replace("-", "_"), names, n=1)
    return f"did you mean {near[0]}?" if near else f"the options are {', '.join(names)}"
