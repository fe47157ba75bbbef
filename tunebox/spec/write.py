"""Search files as tunebox writes them: the search as it ran, and one trial of it."""

from typing import Any

import yaml

from tunebox.spec.search_spec import FORMAT, SearchSpec
from tunebox.spec.space import Values
from tunebox.spec.yaml_source import FLOAT_RULE


class _Dumper(yaml.SafeDumper):
    """The safe dumper that also quotes what is a number in YAML 1.2 only, like the name 12e4."""


_Dumper.add_implicit_resolver(*FLOAT_RULE)


def search_yaml(spec: SearchSpec) -> str:
    """Return ``spec`` as a search file in which every setting of the search is written out."""
    tree = {
        "format": FORMAT,
        **{key: value for key, value in spec.source.data.items() if key != "format"},
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
    tree["training"] = with_seed(
        tree.get("training", {}), spec.search.seed if seed is None else seed
    )
    kept = ("max_epochs", "cpus_per_trial", "gpus_per_trial")
    tree["objectives"] = _objectives(spec)
    tree["search"] = {key: getattr(spec.search, key) for key in kept}
    return _dump(tree, title)


def with_seed(training: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return the settings ``training`` of a fixed trial with ``seed``, in the branch taken."""
    if set(training) == {"choice"}:
        [(branch, settings)] = training["choice"].items()
        return {"choice": {branch: with_seed(settings or {}, seed)}}
    return {**training, "seed": seed}


def _objectives(spec: SearchSpec) -> dict[str, Any]:
    return {name: settings.model_dump() for name, settings in spec.objectives.items()}


def _dump(tree: dict[str, Any], title: str) -> str:
    heading = f"# {title}\n" if title else ""
    return heading + yaml.dump(
        tree,
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=None,
        width=100,
        allow_unicode=True,
    )
