"""Search files as tunebox writes them: the search as it ran, and one trial of it."""

from typing import Any

import yaml

from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Values


def search_yaml(spec: SearchSpec) -> str:
    """Return ``spec`` as a search file in which every setting of the search is written out."""
    tree = {
        **spec.source.data,
        "objectives": _objectives(spec),
        "search": spec.search.model_dump(),
    }
    return _dump(tree, spec.question)


def trial_yaml(spec: SearchSpec, values: Values, title: str) -> str:
    """Return the trial of ``spec`` with ``values`` as a search file without distributions.

    Its seed is written out, so that training it again is the same training. Options of the
    search that say where things run stay behind.
    """
    tree = spec.space.fix(values)
    seed = spec.trial_config(values).training.seed
    tree["training"] = {
        **tree.get("training", {}),
        "seed": spec.search.seed if seed is None else seed,
    }
    kept = ("max_epochs", "cpus_per_trial", "gpus_per_trial")
    tree["objectives"] = _objectives(spec)
    tree["search"] = {key: getattr(spec.search, key) for key in kept}
    return _dump(tree, title)


def _objectives(spec: SearchSpec) -> dict[str, Any]:
    return {name: settings.model_dump() for name, settings in spec.objectives.items()}


def _dump(tree: dict[str, Any], title: str) -> str:
    heading = f"# {title}\n" if title else ""
    return heading + yaml.safe_dump(
        tree, sort_keys=False, default_flow_style=None, width=100, allow_unicode=True
    )
