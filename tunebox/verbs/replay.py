"""Compare settings of a search on recorded learning curves: nothing is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tunebox.decisions.trials import TrialLog
from tunebox.errors import RecordsError, SearchFileError, reading
from tunebox.records.search_folder import SearchFolder, open_folder
from tunebox.records.trial_tables import read_log
from tunebox.spec.load import load_spec
from tunebox.spec.search_options import REPLAYABLE
from tunebox.spec.search_settings import SearchSettings, default_out
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.yaml_source import load_yaml

if TYPE_CHECKING:  # Optuna is slow to import
    from tunebox.engine.efficiency import Efficiency

_DEFAULT_TRAININGS = 32  # full ones: the budget


@dataclass(frozen=True)
class ReplayedSettings:
    """Settings that differ from the defaults, and the results of searches with them, by seed."""

    settings: Mapping[str, Any]
    runs: tuple["Efficiency", ...]


@dataclass(frozen=True)
class ReplayComparison:
    """Several settings on one recording; the first are the defaults."""

    num_recorded: int  # trials
    max_epochs: int  # of a trial
    best_hypervolume: float  # of all that was recorded
    budget: int  # epochs, over all trials
    searches: tuple[ReplayedSettings, ...]


def replay(
    recording: str,
    *,
    settings: Sequence[Mapping[str, Any]] = (),
    workers: int = 8,
    budget: int | None = None,
    seeds: int = 5,
    out: str | None = None,
) -> ReplayComparison:
    """Run searches on recorded curves and a simulated clock, and return what each reached.

    Args:
        recording: The name or the folder of a search whose trials were not stopped.
        settings: Settings of ``search`` that a replay may vary, by name; the others have their
            defaults. The defaults alone come first in any case.
        workers: Trials that run at the same time.
        budget: Budget of epochs that all trials train together; None for 32 full trainings.
        seeds: Number of searches with each of the settings, with the seeds 0, 1, ..
        out: The folder of all searches.

    Raises:
        RecordsError: There is no such search, or its trials cannot be replayed.
        SearchFileError: An unknown setting, or an invalid value.
    """
    folder = SearchFolder(Path(recording))
    if not folder.search_file.is_file():
        folder = open_folder(Path(out or default_out()), recording)
    spec = load_spec(str(folder.search_file), code=folder.code)
    candidates = [{}, *settings]
    for candidate in candidates:
        _search_settings(
            candidate, spec, seed=0
        )  # raises for a mistake before anything is replayed
    log = read_log(folder)
    epochs = budget or _DEFAULT_TRAININGS * spec.search.max_epochs
    try:
        return _compare(spec, log, candidates, workers=workers, budget=epochs, seeds=seeds)
    except ValueError as error:
        raise RecordsError(f"{folder.root} cannot be replayed: {error}") from error


def parse_settings(text: str) -> dict[str, Any]:
    """Return the settings in a text like ``min_epochs=2,reduction_factor=3``.

    Raises:
        SearchFileError: A part is not KEY=VALUE.
    """
    settings = {}
    for part in text.split(","):
        key, separator, value = part.partition("=")
        if not separator or not key.strip() or not value.strip():
            raise SearchFileError(
                f"--set: {part!r} is not KEY=VALUE; give settings like min_epochs=2"
            )
        with reading(f"--set {key.strip()}", SearchFileError, problem="is not a value"):
            settings[key.strip()] = load_yaml(value)
    return settings


def _compare(
    spec: SearchSpec,
    log: TrialLog,
    candidates: Sequence[Mapping[str, Any]],
    *,
    workers: int,
    budget: int,
    seeds: int,
) -> ReplayComparison:
    from tunebox.decisions.decisions import Decisions
    from tunebox.engine.efficiency import measure
    from tunebox.engine.recorded import Recording

    recording = Recording(spec.space, log)
    searches = []
    for candidate in candidates:
        runs = []
        for seed in range(seeds):
            search = _search_settings(candidate, spec, seed)
            decisions = Decisions(
                spec.space, spec.objective_set, search, spec.constraint_set, code=spec.code
            )
            runs.append(measure(decisions, recording, workers, budget))
        searches.append(ReplayedSettings(candidate, tuple(runs)))
    return ReplayComparison(
        len(recording.trials),
        spec.search.max_epochs,
        recording.best_hypervolume,
        budget,
        tuple(searches),
    )


def _search_settings(settings: Mapping[str, Any], spec: SearchSpec, seed: int) -> SearchSettings:
    for key in settings:
        if key not in REPLAYABLE:
            raise SearchFileError(
                f"--set: {key!r} is no setting of a replay; it has {', '.join(REPLAYABLE)}"
            )
    known = {"max_epochs": spec.search.max_epochs, "seed": seed}
    try:
        return SearchSettings.model_validate({**known, **settings})
    except ValidationError as error:
        first = error.errors()[0]
        key = "".join(f" {part}" for part in first["loc"])
        value = f"got {first['input']!r}; " if first["loc"] else ""
        message = first["msg"].removeprefix("Value error, ")
        raise SearchFileError(f"--set{key}: {value}{message}") from error
