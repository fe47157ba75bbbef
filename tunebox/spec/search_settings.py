"""``search`` in a search file: each setting once, with its help, its bounds and its uses."""

import os
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator
from typing_extensions import Self

from tunebox.pareto.isolation import FrontRule
from tunebox.settings import Seed, Settings

SAMPLERS = {
    "tpe": "Tree-structured Parzen estimators, multivariate, by Optuna.",
    "nsga2": "Genetic search by Optuna: each trial is a child of the best trials so far.",
    "gp": "Gaussian processes of settings and epochs, in turns with `tpe`; up to 3000 trials.",
    "qmc": "Points spread evenly: Sobol's sequence, scrambled.",
    "random": "Independent random points.",
}
IN_PROCESS = "none"  # an address: run the trials in this process, without Ray
_MOST_TRIALS = 10_000_000
MOST_EPOCHS = 10**12  # of a search
_MOST_SECONDS = 10**9  # of a search: three decades
_MOST_CPUS = 10_000  # of a host
_LEAST_SHARE = 0.001  # of a CPU or a GPU; Ray counts in steps of a tenth of it
_OUT_VARIABLE = "TUNEBOX_OUT"
SHARE_OF_SEARCH = 0.3  # of the epochs of its trials: so many more train the best of them again


def default_out() -> str:
    """Return the folder of all searches: what ``TUNEBOX_OUT`` says, else ``results``.

    On the nodes of a cluster the variable names a folder that all of them see.
    """
    return os.environ.get(_OUT_VARIABLE) or "results"


@dataclass(frozen=True)
class Option:
    """How a setting of ``search`` can be given elsewhere than in a search file.

    Attributes:
        typed: Whether it is an option of the command line.
        metavar: What stands for its value there; None for the name of its type.
        resumable: Whether a resume may change it: it affects no trial and no decision already made.
        replayable: Whether a replay may vary it: recorded learning curves show what it does.
        default: What None stands for, in words.
    """

    typed: bool = True
    metavar: str | None = None
    resumable: bool = False
    replayable: bool = False
    default: str | None = None


class HypervolumeStalls(Settings):
    """The last ``trials`` to end raised the front's hypervolume by less than ``tolerance``.

    By less than that share of what it was before them; a hypervolume of 0 does not stall.
    """

    trials: int = Field(ge=1, le=_MOST_TRIALS)
    tolerance: float = Field(gt=0, lt=1)


class StopWhen(Settings):
    """``search/stop_when``: what ends a search before its budgets are spent."""

    hypervolume_stalls: HypervolumeStalls | None = None
    expected_gain: float | None = Field(None, gt=0, lt=1)  # of the hypervolume, in 100 epochs

    @model_validator(mode="after")
    def _has_a_rule(self) -> Self:
        if self.hypervolume_stalls is None and self.expected_gain is None:
            raise ValueError(
                "stop_when needs a rule: give hypervolume_stalls or expected_gain, or take it out"
            )
        return self


def _check_folder_name(name: str | None) -> str | None:
    if name is not None:
        check_name(name)
    return name


def _check_gpus(gpus: float | str) -> float | str:
    if isinstance(gpus, float) and gpus > 1:
        raise ValueError(
            f"a trial trains on one GPU, the others would be idle, got {gpus:g}: give 1, a "
            "fraction like 0.5 that shares a GPU, or auto"
        )
    if isinstance(gpus, float) and 0 < gpus < _LEAST_SHARE:
        raise ValueError(f"the smallest share of a GPU is {_LEAST_SHARE:g}, got {gpus:g}")
    return gpus


class SearchSettings(Settings):
    """``search`` in a search file; a name in backticks in a description is another setting."""

    trials: Annotated[int, Option(resumable=True)] = Field(
        64, ge=1, le=_MOST_TRIALS, description="Number of trials, each with its own settings."
    )
    epochs: Annotated[int | None, Option(resumable=True, default="unlimited")] = Field(
        None,
        ge=1,
        le=MOST_EPOCHS,
        description="Budget of training epochs, summed over all trials.",
    )
    time_budget: Annotated[
        float | None, Option(resumable=True, metavar="SECONDS", default="unlimited")
    ] = Field(
        None,
        gt=0,
        le=_MOST_SECONDS,
        description="Budget of wall-clock time in seconds; it starts again at each resume.",
    )
    stop_when: Annotated[StopWhen | None, Option(typed=False, resumable=True, default="off")] = (
        Field(
            None,
            description="Ends the search early: hypervolume_stalls {trials: 20, tolerance: 0.001} "
            "when the last 20 trials have raised the hypervolume by less than 0.1 %; with "
            "`sampler` gp also expected_gain: 0.001 when 100 epochs more are expected to raise it "
            "by less than 0.1 %.",
        )
    )
    repeats: Annotated[int, Option(resumable=True, default="none")] = Field(
        0,
        ge=0,
        le=1000,
        description="Maximum number of new seeds with which each of the best trials is trained "
        "again at the end of the search, within its budgets; see confirm.md.",
    )
    max_epochs: Annotated[int, Option()] = Field(
        27, ge=1, le=100_000, description="Number of epochs of a full training."
    )
    min_epochs: Annotated[int | None, Option(replayable=True, default="`max_epochs` / 4")] = Field(
        None,
        ge=1,
        le=100_000,
        description="Epoch of the first rung; no trial is stopped before it.",
    )
    reduction_factor: Annotated[int, Option(replayable=True)] = Field(
        2, ge=2, le=1000, description="At each rung, one in this many trials continues."
    )
    front_rule: Annotated[FrontRule, Option(replayable=True)] = Field(
        "crowding",
        description="Rule that ranks trials within the same front at a rung.",
    )
    sampler: Annotated[
        Literal["tpe", "nsga2", "gp", "qmc", "random"] | Annotated[str, Field(pattern=".:.")],
        Option(replayable=True),
    ] = Field(
        "tpe",
        description="Method that suggests the settings of each trial; file.py:name is your own "
        "function.",
    )
    scheduler: Annotated[Literal["ladder", "model"], Option(replayable=True)] = Field(
        "ladder",
        description="Method that decides which trials continue; model needs `sampler` gp.",
    )
    max_paused: Annotated[int, Option(resumable=True, replayable=True)] = Field(
        16,
        ge=0,
        le=_MOST_TRIALS,
        description="Maximum number of paused trials with `scheduler` model; their checkpoints are "
        "kept.",
    )
    warm_start: Annotated[list[str], Option(metavar="NAME", default="none")] = Field(
        default_factory=list,
        description="Earlier search in `out` whose trials the sampler learns from; "
        "may be given several times.",
    )
    seed: Annotated[Seed, Option()] = Field(
        0,
        description="Random seed of the search; the training seeds of the trials are derived "
        "from it.",
    )
    cpus_per_trial: Annotated[
        Annotated[float, Field(ge=_LEAST_SHARE, le=_MOST_CPUS)] | Literal["node"],
        Option(resumable=True),
    ] = Field(1.0, description="CPUs per trial; node reserves all CPUs of a node.")
    gpus_per_trial: Annotated[
        Annotated[float, Field(ge=0)] | Literal["auto"],
        Option(resumable=True),
        AfterValidator(_check_gpus),
    ] = Field(
        0.0,
        description="GPUs per trial, at most 1; 0.25 puts four trials on a GPU, auto measures "
        "how many trials on a GPU train fastest.",
    )
    max_concurrent: Annotated[int | None, Option(resumable=True, default="as many as fit")] = Field(
        None,
        ge=1,
        le=_MOST_TRIALS,
        description="Maximum number of trials that run at the same time.",
    )
    max_failures: Annotated[int, Option(resumable=True)] = Field(
        2,
        ge=0,
        le=1000,
        description="Maximum number of restarts of a trial whose worker or node died or ran out "
        "of memory.",
    )
    max_failed_fraction: Annotated[float, Option(resumable=True)] = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of failed trials above which the search stops, checked once ten trials "
        "have ended.",
    )
    name: Annotated[
        str | None,
        Option(default="name of the file and a number"),
        AfterValidator(_check_folder_name),
    ] = Field(None, description="Name of the search and of its folder in `out`.")
    out: Annotated[str, Option(default="$TUNEBOX_OUT, else results", metavar="DIR")] = Field(
        default_factory=default_out, description="Output folder of all searches."
    )
    address: Annotated[
        str | None,
        Option(
            resumable=True,
            default="$RAY_ADDRESS, else a Ray that runs on this machine, else local",
        ),
    ] = Field(
        None,
        description="Address of a Ray cluster; local starts Ray on this machine, none runs one "
        "trial at a time in this process, without Ray.",
    )

    @field_validator("warm_start")
    @classmethod
    def _warm_starts_are_folder_names(cls, names: list[str]) -> list[str]:
        for name in names:
            check_name(name)
            if names.count(name) > 1:
                raise ValueError(f"{name!r} is there twice; name each earlier search once")
        return names

    @model_validator(mode="after")
    def _min_within_max(self) -> Self:
        if self.min_epochs is not None and self.min_epochs > self.max_epochs:
            raise ValueError(
                f"min_epochs must be at most max_epochs, got min_epochs={self.min_epochs} "
                f"and max_epochs={self.max_epochs}: lower search/min_epochs in the file, or take "
                "it out for a quarter of max_epochs"
            )
        return self

    @model_validator(mode="after")
    def _scheduler_has_a_model(self) -> Self:
        if self.scheduler == "model" and self.sampler != "gp":
            raise ValueError(
                f"scheduler: model decides by the model of sampler: gp, got sampler: "
                f"{self.sampler}: set sampler to gp, or scheduler to ladder"
            )
        return self

    @model_validator(mode="after")
    def _gain_is_expected_by_a_model(self) -> Self:
        rules = self.stop_when
        if rules is not None and rules.expected_gain is not None and self.sampler != "gp":
            raise ValueError(
                "stop_when: expected_gain is what the model of sampler: gp expects, got sampler: "
                f"{self.sampler}: set sampler to gp, or give hypervolume_stalls"
            )
        return self

    @property
    def share_of_trials(self) -> float:
        """Share of the budgets that the trials may spend; the rest is set aside for ``repeats``."""
        return 1 / (1 + SHARE_OF_SEARCH) if self.repeats else 1.0

    @property
    def epochs_of_trials(self) -> int | None:
        """The part of ``epochs`` that is for the trials themselves."""
        return None if self.epochs is None else max(1, int(self.share_of_trials * self.epochs))

    @property
    def seconds_of_trials(self) -> float | None:
        """The part of ``time_budget`` that is for the trials themselves."""
        return None if self.time_budget is None else self.share_of_trials * self.time_budget

    @property
    def first_rung(self) -> int:
        """The epoch before which no trial is stopped: ``min_epochs`` where it is given."""
        return self.min_epochs or max(1, self.max_epochs // 4)


def check_name(name: str) -> None:
    """Raise ValueError unless ``name`` can be the name of a folder inside the output folder."""
    allowed = name.replace("-", "").replace("_", "").replace(".", "")
    if not (allowed.isascii() and allowed.isalnum()) or name[0] in ".-" or len(name) > 100:
        raise ValueError(
            f"a name has up to 100 letters, digits, '-', '_' and '.' and starts with a letter, "
            f"a digit or '_', got {name!r}"
        )
