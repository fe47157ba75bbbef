"""``start``: full or partial settings of the trials that a search runs first."""

from collections.abc import Mapping
from typing import Any

from tunebox.spec.space import Space, Values
from tunebox.spec.yaml_source import YamlSource


def read_start(node: Any, space: Space, source: YamlSource) -> tuple[Values, ...]:
    """Return the values of searched leaves in each entry of ``start``.

    An entry has the structure of the search file, with a value in place of each distribution that
    it fixes, and the name of a branch in place of a ``choice``::

        start:
          - losses: {ours: {discriminative: {weight: 1.0}}}
            optimizer: {lr: 0.001}
          - losses: clean_only

    Raises:
        SearchFileError: An entry sets a path that is not searched, or a value is out of range.
    """
    if not isinstance(node, list):
        raise source.error("start", f"needs a list of settings to try first, got {node!r}")
    reader = _Reader(space, source)
    return tuple(reader.read(entry, f"start/{number}") for number, entry in enumerate(node))


class _Reader:
    def __init__(self, space: Space, source: YamlSource) -> None:
        self._source = source
        self._leaves = {leaf.path: leaf for leaf in space.leaves}
        self._branching = {path for leaf in space.leaves for path, _ in leaf.condition}

    def read(self, entry: Any, where: str) -> Values:
        values: Values = {}
        self._read(entry, "", where, values)
        return values

    def _read(self, node: Any, path: str, where: str, values: Values) -> None:
        """Add the values of ``node``, at ``path`` in the search file, to ``values``."""
        below = f"{where}/{path}".rstrip("/")
        if not isinstance(node, Mapping) or not node:
            raise self._source.error(below, f"needs settings, like {{key: value}}, got {node!r}")
        for key, item in node.items():
            at = f"{path}/{key}".lstrip("/")
            if "/" in str(key):  # only the nested form is allowed, as in the rest of the file
                raise self._source.error(f"{where}/{at}", "is a path; write a mapping for each /")
            if at in self._branching:
                self._read_branch(item, at, where, values)
            elif at in self._leaves:
                values[at] = self._accept(at, item, where)
            elif any(leaf.startswith(f"{at}/") for leaf in self._leaves):
                self._read(item, at, where, values)
            else:
                raise self._source.error(
                    f"{where}/{at}",
                    "is not searched in this file; give searched settings, in the file's shape",
                )

    def _read_branch(self, item: Any, at: str, where: str, values: Values) -> None:
        branch, inside = item, None
        if isinstance(item, Mapping) and len(item) == 1:
            [(branch, inside)] = item.items()
        values[at] = self._accept(at, branch, where)
        if inside is not None:
            self._read(inside, f"{at}/{branch}", where, values)

    def _accept(self, at: str, value: Any, where: str) -> Any:
        try:
            return self._leaves[at].distribution.accept(value)
        except ValueError as error:
            raise self._source.error(f"{where}/{at}", str(error)) from error
