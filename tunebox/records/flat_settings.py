"""Nested settings as flat parameters."""

from collections.abc import Mapping

from tunebox.spec.space import Scalar


def flat_settings(tree: object, path: str = "") -> dict[str, Scalar]:
    """Return the leaves of nested settings by path: ``{"model/width": 64, ..}``."""
    if isinstance(tree, Mapping):
        items = [(str(key), value) for key, value in tree.items()]
    elif isinstance(tree, list | tuple):
        items = [(str(index), value) for index, value in enumerate(tree)]
    else:
        assert tree is None or isinstance(tree, bool | int | float | str)
        return {path: tree}
    flat: dict[str, Scalar] = {}
    for key, value in items:
        flat.update(flat_settings(value, f"{path}/{key}".lstrip("/")))
    return flat
