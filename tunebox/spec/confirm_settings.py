"""The settings of ``tunebox confirm``: each once, with its help and its bounds."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal, TypedDict

from pydantic import Field

from tunebox.settings import Settings
from tunebox.spec.search_options import SearchOption, options_of, search_options
from tunebox.spec.search_settings import MOST_EPOCHS, Option

RUN_OPTIONS = (  # of a search, that say where and how fast it runs
    *("cpus_per_trial", "gpus_per_trial", "max_concurrent", "max_failures", "time_budget"),
    "address",
)


class ConfirmSettings(Settings):
    """What is trained again; a name in backticks in a description is another setting."""

    seeds: Annotated[int, Option()] = Field(
        5, ge=1, le=1000, description="Maximum number of new seeds per trial."
    )
    budget: Annotated[
        int | None,
        Option(
            metavar="EPOCHS",
            default="30 % of the epochs of the search, at least two seeds per trial of its front",
        ),
    ] = Field(
        None,
        ge=1,
        le=MOST_EPOCHS,
        description="Budget of training epochs, summed over all retrainings, including those of "
        "earlier calls.",
    )
    layers: Annotated[int, Option()] = Field(
        3,
        ge=1,
        le=100,
        description="Number of non-dominated layers whose trials may be retrained; the front is "
        "the first.",
    )
    pick: Annotated[list[str], Option(metavar="PICK", default="chosen by `layers`")] = Field(
        default_factory=list,
        description="Trials to retrain instead: all (the whole front), knee, best:METRIC or a "
        "trial id; may be given several times.",
    )


class ConfirmOptions(TypedDict, total=False):
    """Keyword options of `tunebox.confirm`: `ConfirmSettings`, and where the trials run."""

    seeds: int
    budget: int | None
    layers: int
    pick: list[str]
    cpus_per_trial: float | Literal["node"]
    gpus_per_trial: float | Literal["auto"]
    max_concurrent: int | None
    max_failures: int
    time_budget: float | None
    address: str | None


def confirm_options() -> Iterator[SearchOption]:
    """Yield the options of ``tunebox confirm`` in the order in which they are documented."""
    yield from options_of(ConfirmSettings)
    for option in search_options():
        if option.name in RUN_OPTIONS:
            yield replace(option, default="that of the search")
