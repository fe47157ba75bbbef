"""Search spaces: a tree of settings in which some leaves are distributions.

The path of a leaf is its name everywhere: ``losses/ours/discriminative/weight``. A ``choice`` over
a mapping makes branches; the chosen branch is the value of the leaf at the path of the ``choice``.
A ``choice`` with a single branch is fixed and not searched: with it an exported trial keeps the
paths that its settings had in the search.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias
from unicodedata import normalize

from tunebox.spec.yaml_source import YamlSource

Scalar: TypeAlias = bool | int | float | str | None
Values: TypeAlias = dict[str, Scalar]  # value by path of each active leaf

_RANGES = ("uniform", "log_uniform", "int_uniform", "log_int_uniform")
DISTRIBUTIONS = (*_RANGES, "choice")
PRIOR = "prior"  # beside a distribution
CONFIDENCES = ("low", "medium", "high")


@dataclass(frozen=True)
class Range:
    """A uniform or log-uniform distribution of numbers from ``low`` to ``high`` inclusive."""

    low: float
    high: float
    log: bool
    integer: bool

    @property
    def ends(self) -> tuple[Scalar, ...]:
        """The extreme values, which are validated instead of the whole range."""
        return (self.low, self.high)

    def accept(self, value: Any) -> Scalar:
        """Return ``value`` with the type that this distribution has.

        Raises:
            ValueError: The value is not a number, not an integer as needed, or out of range.
        """
        kind = f"{'log_' * self.log}{'int_' * self.integer}uniform [{self.low:g}, {self.high:g}]"
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"got {value!r}, needs a number within {kind}")
        if self.integer and not isinstance(value, int):
            raise ValueError(f"got {value!r}, needs a whole number within {kind}")
        if not self.low <= value <= self.high:
            raise ValueError(f"got {value!r}, outside {kind}")
        return value if self.integer else float(value)


@dataclass(frozen=True)
class Choice:
    """One of several values, or the name of one of several branches."""

    options: tuple[Scalar, ...]

    @property
    def ends(self) -> tuple[Scalar, ...]:
        """All options, since any of them may be invalid."""
        return self.options

    def accept(self, value: Any) -> Scalar:
        """Return the option that equals ``value``.

        Raises:
            ValueError: No option equals it.
        """
        for option in self.options:
            # 1 is not true, but 1 and 1.0 are equal
            if option == value and isinstance(option, bool) == isinstance(value, bool):
                return option
        options = ", ".join(repr(option) for option in self.options)
        raise ValueError(f"got {value!r}, needs one of {options}")


Distribution: TypeAlias = Range | Choice


@dataclass(frozen=True)
class Prior:
    """What a person expects of a setting: a good value, and how sure that is."""

    center: Scalar
    confidence: str  # one of `CONFIDENCES`


@dataclass(frozen=True)
class Leaf:
    """A searched setting."""

    path: str
    distribution: Distribution
    condition: tuple[
        tuple[str, str], ...
    ]  # (path of a choice, branch) pairs that must all be chosen
    prior: Prior | None = None

    def is_active(self, values: Mapping[str, Scalar]) -> bool:
        """Return whether ``values`` choose every branch on the path to this leaf."""
        return all(values.get(path) == branch for path, branch in self.condition)


@dataclass(frozen=True)
class _Branches:
    path: str
    trees: dict[str, Any]


class Space:
    """The search space of a search file."""

    def __init__(self, tree: Mapping[str, Any], source: YamlSource) -> None:
        self._leaves: dict[str, Leaf] = {}
        self._source = source
        at_top = set(tree) & set(DISTRIBUTIONS)
        if at_top:
            raise source.error(
                min(at_top), "a distribution is the value of a setting, not the whole of a file"
            )
        self._tree = self._parse(tree, "", ())

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """The searched leaves; a choice between branches comes before the leaves below it."""
        return tuple(self._leaves.values())

    def draw(self, pick: Callable[[Leaf], Scalar]) -> Values:
        """Return a value for every active leaf, as ``pick`` returns it for a leaf."""
        values: Values = {}
        for leaf in self.leaves:
            if leaf.is_active(values):
                values[leaf.path] = pick(leaf)
        return values

    def filled(self, pinned: Mapping[str, Scalar], end: int = 0) -> Values:
        """Return a value for every active leaf: that in ``pinned``, else one of the leaf's ends.

        Args:
            pinned: Values by path; those of leaves that are inactive do not count.
            end: 0 for the first option or the lower end, -1 for the last or the upper one.
        """
        return self.draw(lambda leaf: pinned.get(leaf.path, leaf.distribution.ends[end]))

    def resolve(self, values: Mapping[str, Scalar]) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the settings for ``values``, and the search file's path for each of their paths.

        Args:
            values: A value for each active leaf.
        """
        origin: dict[str, str] = {}
        settings = self._resolve(self._tree, values, "", "", origin)
        assert isinstance(settings, dict)
        return settings, origin

    def fix(self, values: Mapping[str, Scalar]) -> dict[str, Any]:
        """Return the tree of the file, with ``values`` in place of its distributions.

        Only the chosen branch of a ``choice`` stays, under its name, so that every path is the
        same as in the search.
        """
        tree = self._fix(self._tree, values)
        assert isinstance(tree, dict)
        return tree

    def values_of(self, tree: Mapping[str, Any]) -> Values:
        """Return the values for which `fix` returns ``tree``.

        Args:
            tree: The settings of a trial, of this space or of another.

        Raises:
            ValueError: The trial is not in this space; names the path and both values.
        """
        values: Values = {}
        _collect(self._tree, tree, "", values)
        return values

    def _parse(self, node: Any, path: str, condition: tuple[tuple[str, str], ...]) -> Any:
        if isinstance(node, list):
            return [self._parse(item, f"{path}/{i}", condition) for i, item in enumerate(node)]
        if not isinstance(node, dict):
            return node
        if not (set(node) & set(DISTRIBUTIONS)):
            return {
                key: self._parse(value, f"{path}/{key}".lstrip("/"), condition)
                for key, value in node.items()
            }
        alone = {key: value for key, value in node.items() if key != PRIOR}
        if len(alone) != 1:
            raise self._source.error(
                path,
                "a distribution stands alone or with a prior, got the keys "
                f"{', '.join(map(str, node))}",
            )
        [(kind, value)] = alone.items()
        if kind == "choice" and isinstance(value, dict):
            branches = self._parse_branches(value, path, condition)
            self._add_prior(node, path)
            return branches
        distribution = (
            self._choice(value, path) if kind == "choice" else self._range(kind, value, path)
        )
        self._leaves[path] = Leaf(path, distribution, condition)
        self._add_prior(node, path)
        return self._leaves[path]

    def _add_prior(self, node: dict[str, Any], path: str) -> None:
        """Give the leaf at ``path`` the prior that stands beside its distribution, if one does."""
        if PRIOR not in node:
            return
        prior, where = node[PRIOR], f"{path}/{PRIOR}"
        known = ("center", "confidence")
        if not isinstance(prior, dict) or "center" not in prior or set(prior) - set(known):
            needs = "{center: a good value, confidence: low, medium or high}"
            raise self._source.error(where, f"needs {needs}, got {prior!r}")
        confidence = prior.get("confidence", "medium")
        if confidence not in CONFIDENCES:
            raise self._source.error(
                f"{where}/confidence", f"needs {', '.join(CONFIDENCES)}, got {confidence!r}"
            )
        leaf = self._leaves.get(path)
        if leaf is None:
            raise self._source.error(where, "a choice with one branch is not searched")
        try:
            center = leaf.distribution.accept(prior["center"])
        except ValueError as error:
            raise self._source.error(f"{where}/center", str(error)) from error
        self._leaves[path] = replace(leaf, prior=Prior(center, confidence))

    def _parse_branches(
        self, branches: dict[str, Any], path: str, condition: tuple[tuple[str, str], ...]
    ) -> _Branches:
        for name in branches:
            if not isinstance(name, str) or not name or "/" in name:
                raise self._source.error(path, f"a branch needs a name without /, got {name!r}")
        if not branches:
            raise self._source.error(path, "choice needs at least one branch")
        if len({_as_shown(name) for name in branches}) < len(branches):
            raise self._source.error(path, f"two branches look alike: {list(branches)!r}")
        if len(branches) > 1:
            self._leaves[path] = Leaf(path, Choice(tuple(branches)), condition)
            conditions = {name: (*condition, (path, name)) for name in branches}
        else:
            conditions = dict.fromkeys(branches, condition)
        trees = {
            name: self._parse(tree, f"{path}/{name}", conditions[name])
            for name, tree in branches.items()
        }
        return _Branches(path, trees)

    def _range(self, kind: str, value: Any, path: str) -> Range:
        integer = "int" in kind
        numbers = (int,) if integer else (int, float)
        what = "whole numbers" if integer else "numbers"
        if (
            not isinstance(value, list)
            or len(value) != 2
            or any(isinstance(end, bool) or not isinstance(end, numbers) for end in value)
        ):
            raise self._source.error(path, f"{kind} needs [low, high], two {what}, got {value!r}")
        low, high = value
        if not all(abs(end) <= sys.float_info.max for end in value):
            raise self._source.error(path, f"{kind} needs finite ends, got {value!r}")
        if low >= high:
            raise self._source.error(
                path, f"{kind} needs low < high, got low {low} and high {high}"
            )
        log = kind.startswith("log")
        if log and low <= 0:
            raise self._source.error(path, f"{kind} needs low > 0, got low {low}")
        if integer:
            return Range(low, high, log, integer)
        # floats, so that whole numbers as ends are refused for a setting that takes integers
        return Range(float(low), float(high), log, integer)

    def _choice(self, value: Any, path: str) -> Choice:
        if not isinstance(value, list) or not value:
            raise self._source.error(path, f"choice needs a list or branches, got {value!r}")
        for option in value:
            if not isinstance(option, bool | int | float | str | None):
                raise self._source.error(
                    path, f"an option is one value, got {option!r}; write branches as a mapping"
                )
            if isinstance(option, str) and not _is_unicode(option):
                raise self._source.error(path, f"an option is text in Unicode, got {option!r}")
        # 1 and 1.0 are one value, 1 and true are two
        if len({(isinstance(option, bool), _as_shown(option)) for option in value}) < len(value):
            raise self._source.error(path, f"choice has an option twice: {value!r}")
        return Choice(tuple(value))

    def _resolve(
        self,
        node: Any,
        values: Mapping[str, Scalar],
        source_path: str,
        path: str,
        origin: dict[str, str],
    ) -> Any:
        origin[path] = source_path
        if isinstance(node, Leaf):
            return values[node.path]
        if isinstance(node, _Branches):
            name = _branch_taken(node, values)
            return self._resolve(node.trees[name], values, f"{node.path}/{name}", path, origin)
        if isinstance(node, dict | list):
            resolved = {
                key: self._resolve(
                    item,
                    values,
                    f"{source_path}/{key}".lstrip("/"),
                    f"{path}/{key}".lstrip("/"),
                    origin,
                )
                for key, item in _items(node)
            }
            return resolved if isinstance(node, dict) else list(resolved.values())
        return node

    def _fix(self, node: Any, values: Mapping[str, Scalar]) -> Any:
        if isinstance(node, Leaf):
            return values[node.path]
        if isinstance(node, _Branches):
            name = _branch_taken(node, values)
            return {"choice": {name: self._fix(node.trees[name], values)}}
        if isinstance(node, dict):
            return {key: self._fix(item, values) for key, item in node.items()}
        if isinstance(node, list):
            return [self._fix(item, values) for item in node]
        return node


def _as_shown(option: Scalar) -> Scalar:
    """Return an option so that those that look alike are equal: é can be one character or two."""
    return normalize("NFC", option) if isinstance(option, str) else option


def _is_unicode(text: str) -> bool:
    """Return whether tables can have ``text``; the name of a file may be none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _items(node: dict[str, Any] | list[Any]) -> Iterator[tuple[Any, Any]]:
    return iter(node.items() if isinstance(node, dict) else enumerate(node))


def _branch_taken(branches: _Branches, values: Mapping[str, Scalar]) -> str:
    if len(branches.trees) == 1:
        return next(iter(branches.trees))
    name = values[branches.path]
    assert isinstance(name, str)
    return name


def _collect(node: Any, other: Any, path: str, values: Values) -> None:
    """Walk the space's tree and another's side by side; see `Space.values_of`."""
    if isinstance(node, Leaf):
        try:
            values[node.path] = node.distribution.accept(other)
        except ValueError as error:
            raise ValueError(f"{node.path}: {error}") from error
    elif isinstance(node, _Branches):
        name = next(iter(other["choice"])) if _is_taken_branch(other) else None
        if name not in node.trees:
            raise ValueError(f"{path}: needs one of the branches {', '.join(node.trees)}")
        if len(node.trees) > 1:
            values[node.path] = name
        _collect(node.trees[name], other["choice"][name], f"{path}/{name}", values)
    elif isinstance(node, dict | list):
        if not isinstance(other, type(node)):
            raise ValueError(f"{path}: got {other!r}, needs {node!r}")
        here, there = dict(_items(node)), dict(_items(other))
        unlike = [key for key in {**here, **there} if (key in here) != (key in there)]
        if unlike:
            where = "here" if unlike[0] in here else "there"
            raise ValueError(f"{path}/{unlike[0]}".lstrip("/") + f": is set only {where}")
        for key, item in here.items():
            _collect(item, there[key], f"{path}/{key}".lstrip("/"), values)
    elif node != other:
        raise ValueError(f"{path}: got {other!r}, needs {node!r}")


def _is_taken_branch(tree: Any) -> bool:
    return isinstance(tree, dict) and set(tree) == {"choice"} and isinstance(tree["choice"], dict)
