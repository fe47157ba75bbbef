"""Tries code of the user's own that a search file names, before anything else starts."""

from tunebox.errors import TuneboxError
from tunebox.parts.code import is_reference
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Choice, Values


def check_own_parts(spec: SearchSpec) -> None:
    """Run each part of the user's own in ``spec`` on a few images; without any, do nothing.

    Raises:
        TuneboxError: A part fails, returns what it should not, or cannot be sent to a worker.
    """
    if not spec.references:
        return
    from tunebox.parts.code import code_files
    from tunebox.training.own_parts import OwnPartTrouble, try_own_parts

    if is_reference(spec.search.sampler):
        _try_sampler(spec)
    code_files(spec.code, spec.references)
    if spec.kind.names_metrics:  # a training loop is a whole trial; it was looked at when read
        return
    for values in _ways(spec):
        try:
            try_own_parts(spec.trial_config(values))
        except OwnPartTrouble as error:
            _, origin = spec.space.resolve(values)
            path = error.path if error.path not in origin else origin[error.path]
            raise spec.source.error(path, str(error)) from error


def _try_sampler(spec: SearchSpec) -> None:
    from tunebox.decisions.own_sampler import OwnSampler

    try:
        suggest = spec.code.find(spec.search.sampler)
        OwnSampler(suggest, spec.space, spec.search.seed).ask("0000", {})
    except TuneboxError as error:
        message = str(error).removeprefix("search/sampler: ")
        raise spec.source.error("search/sampler", message) from error


def _ways(spec: SearchSpec) -> list[Values]:
    """Return values at either end of each range, and with each option of each choice once."""
    last = spec.space.filled({}, -1)
    found: list[Values] = []
    pins: list[Values] = [{}, last]
    for leaf in spec.space.leaves:
        if isinstance(leaf.distribution, Choice):
            pins += [{**dict(leaf.condition), leaf.path: o} for o in leaf.distribution.options]
    for pinned in pins:
        values = spec.space.filled(pinned)
        if values not in found:
            found.append(values)
    return found
