"""The methods of a search: the branches of its first choice between branches."""

from collections.abc import Iterable

from tunebox.decisions.trials import TrialRecord
from tunebox.spec.space import Values

ONE_GROUP = "trials"  # where there are no branches


def branch_path(trials: Iterable[TrialRecord]) -> str | None:
    """Return the first searched leaf whose options are branches, None if no trial shows one.

    It is recognised by the settings below it, which have its value in their path.
    """
    for trial in trials:
        for path, value in trial.settings.items():
            inside = f"{path}/{value}/"
            if any(other.startswith(inside) for other in trial.settings):
                return path
    return None


def method_of(trial: TrialRecord, branch: str | None) -> str:
    """Return the branch that ``trial`` took at the leaf ``branch``, `ONE_GROUP` without one."""
    value = trial.settings.get(branch) if branch is not None else None
    return ONE_GROUP if value is None else str(value)


def without_branches(values: Values) -> Values:
    """Return the values of leaves, each by its path without the branches that lead to it."""
    branches = {f"{path}/{value}/" for path, value in values.items() if isinstance(value, str)}
    shortened = {}
    for path, value in values.items():
        fitting = [branch for branch in branches if path.startswith(branch)]
        shortened[path.removeprefix(max(fitting, key=len)) if fitting else path] = value
    return shortened


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """Return the shortest end of each path that no other path has."""
    parts = {path: path.split("/") for path in paths}

    def is_unique(path: str, length: int) -> bool:
        end = parts[path][-length:]
        return all(other == path or parts[other][-length:] != end for other in parts)

    return {
        path: "/".join(
            words[-next((n for n in range(1, len(words) + 1) if is_unique(path, n)), len(words)) :]
        )
        for path, words in parts.items()
    }
