"""Write search files: a search as it ran, or one trial of it."""

from typing import Any

import yaml

from tunebox.spec.search_spec import FORMAT, SearchSpec
from tunebox.spec.space import Values
from tunebox.spec.yaml_checksum import with_checksum
from tunebox.spec.yaml_source import FLOAT_RULE, INT_RULE
from tunebox.text import printable


class _Dumper(yaml.SafeDumper):
    """Safe dumper that also quotes strings that are numbers in YAML 1.2 only: 12e4, 0o7, 08."""


for _rule in (INT_RULE, FLOAT_RULE):
    _Dumper.add_implicit_resolver(*_rule)


def search_yaml(spec: SearchSpec) -> str:
    """Return ``spec`` as a search file in which every setting of the search is written out."""
    tree = {
        "format": FORMAT,
        **{key: value for key, value in spec.source.data.items() if key != "format"},
        "objectives": _objectives(spec),
        "search": spec.search.model_dump(),
    }
    return with_checksum(dump_yaml(tree, spec.question))


def trial_yaml(spec: SearchSpec, values: Values, title: str, seed: int | None = None) -> str:
    """Return the trial of ``spec`` with ``values`` as a search file without distributions.

    Its ``seed``, None for that of the search, is written out, so that training the file repeats the
    trial; a ``training/seed`` of the search file wins. Options of the search
    that say where it runs are left out.
    """
    tree = spec.space.fix(values)
    own_seed = spec.trial(values).own_seed
    kept = ("max_epochs", "cpus_per_trial", "gpus_per_trial")
    tree["objectives"] = _objectives(spec)
    tree["search"] = {key: getattr(spec.search, key) for key in kept}
    seeds = (own_seed, seed, spec.search.seed)
    seeded = spec.kind.seeded(tree, next(one for one in seeds if one is not None))
    return with_checksum(dump_yaml(seeded, title))


def _objectives(spec: SearchSpec) -> dict[str, Any]:
    return {name: settings.model_dump() for name, settings in spec.objectives.items()}


def dump_yaml(tree: dict[str, Any], title: str = "") -> str:
    """Return ``tree``, plain data, as the text of a search file, with a comment on top.

    Raises:
        yaml.YAMLError: Something in it is not plain data.
    """
    heading = f"# {printable(title)}\n" if title else ""
    return heading + yaml.dump(
        tree,
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=None,
        width=100,
        allow_unicode=True,
    )
