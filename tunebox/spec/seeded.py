"""A search file in which the random seed of a trial is a setting like others."""

from dataclasses import replace
from typing import Any

from tunebox.errors import SearchFileError
from tunebox.spec.load import spec_from_source
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Space, Values
from tunebox.spec.yaml_source import YamlSource

_GROUP, _SEED = "training", "seed"


def seeded_spec(
    spec: SearchSpec, *, num_seeds: int, question: str, search: dict[str, Any]
) -> SearchSpec:
    """Return ``spec`` with ``training/seed`` below ``num_seeds`` as one searched setting more.

    Args:
        spec: The search whose trials are repeated.
        num_seeds: How many seeds there are.
        question: First line of the file.
        search: Settings of ``search`` that differ.

    Raises:
        SearchFileError: Its trials are training loops of the user's own, or a setting is invalid.
    """
    spec.trial_config(spec.space.filled({}))  # raises
    tree = spec.kind.seeded(spec.source.data, {"int_uniform": [0, num_seeds - 1]})
    tree.pop("start", None)
    objectives = {name: settings.model_dump() for name, settings in spec.objectives.items()}
    tree = {**tree, "objectives": objectives, "search": {**spec.search.model_dump(), **search}}
    source = YamlSource(spec.source.name, f"# {question}\n", tree, None)
    return replace(spec_from_source(source, code=spec.code), question=question)


def seed_path(space: Space, settings: Values) -> str:
    """Return the path of the seed of a trial of a `seeded_spec` with ``settings``.

    Raises:
        SearchFileError: There is none.
    """
    for leaf in space.leaves:
        parts = leaf.path.split("/")
        if parts[0] == _GROUP and parts[-1] == _SEED and leaf.is_active(settings):
            return leaf.path
    raise SearchFileError("training/seed: the trials of this search cannot be given a seed")
