"""Search files: find them, read them, and check them so that no trial can meet a bad setting."""

import itertools
import os
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tunebox.errors import SearchFileError
from tunebox.spec.search_spec import (
    FORMAT,
    ConstraintSettings,
    ObjectiveSettings,
    SearchSettings,
    SearchSpec,
    check_bounds,
    check_metric,
    check_objective_names,
)
from tunebox.spec.space import DISTRIBUTIONS, Leaf, Scalar, Space, Values
from tunebox.spec.start import read_start
from tunebox.spec.trial_config import TrialConfig
from tunebox.spec.yaml_source import YamlSource, parse_yaml, read_yaml

DEFAULT_OBJECTIVES: dict[str, Any] = {
    "clean_accuracy": {"direction": "maximize", "reference": 0.0},
    "noisy_accuracy": {"direction": "maximize", "reference": 0.0},
}

_WRONG_KEY = ("extra_forbidden", "invalid_key")  # invalid: not text

_ONE_VALUE = "needs one value"

_Model = TypeVar("_Model", bound=BaseModel)


def shipped_folder() -> Path:
    """Return the folder of the search files that come with tunebox."""
    packaged = Path(str(files("tunebox"))) / "search_spaces"
    # In a checkout the files stand beside the package; the wheel has them inside.
    return packaged if packaged.is_dir() else packaged.parents[1] / "search_spaces"


def shipped_files() -> list[Path]:
    """Return the search files that come with tunebox, in alphabetical order."""
    return sorted(shipped_folder().glob("*.yaml"))


def find_source(file: str) -> YamlSource:
    """Return the search file ``file``: a path, the name of a shipped one, or ``-`` for stdin.

    Raises:
        SearchFileError: There is no such file, or it is not YAML.
    """
    if file == "-":
        return parse_yaml(_read_stdin(), "<stdin>")
    if os.path.isfile(file):  # Path.is_file raises for a name that is too long
        return read_yaml(Path(file))
    by_stem = {shipped.stem: shipped for shipped in shipped_files()}
    stem = file.removesuffix(".yaml")
    if stem in by_stem:
        return read_yaml(by_stem[stem])
    raise SearchFileError(
        f"{file}: no such search file; give a path or one that ships: {', '.join(by_stem)}"
    )


def _read_stdin() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise SearchFileError("<stdin>: not a text in UTF-8") from error


def load_spec(file: str, overrides: Mapping[str, Any] | None = None) -> SearchSpec:
    """Return the checked search file ``file``.

    Args:
        file: A path, the name of a shipped file, or ``-`` for standard input.
        overrides: Settings of ``search`` that win over those in the file; None values do not.

    Raises:
        SearchFileError: With file, line, path, value and bound of the first mistake.
    """
    return spec_from_source(find_source(file), overrides)


def spec_from_source(source: YamlSource, overrides: Mapping[str, Any] | None = None) -> SearchSpec:
    """Return the checked search file that ``source`` holds; see `load_spec`."""
    tree = dict(source.data)
    _check_format(tree.pop("format", FORMAT), source)
    objectives = _objectives(tree.pop("objectives", DEFAULT_OBJECTIVES), source)
    constraints = _constraints(tree.pop("constraints", {}), source)
    start = tree.pop("start", [])
    written = tree.pop("search", {})
    if not isinstance(written, dict):
        raise source.error("search", f"needs settings like trials: 64, got {written!r}")
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    _validate(SearchSettings, written, source, "search")
    search = _validate_options(given, written)
    space = Space(tree, source)
    _check_trials(space, source)
    first_line = source.text.lstrip("\ufeff").split("\n", 1)[0]
    question = first_line.lstrip("# ").strip() if first_line.startswith("#") else ""
    first = read_start(start, space, source)
    return SearchSpec(source, question, space, objectives, search, constraints, first)


def _check_format(found: Any, source: YamlSource) -> None:
    if not isinstance(found, int) or found > FORMAT:
        raise source.error("format", f"{found!r} was made by a newer tunebox; update tunebox")


def _objectives(node: Any, source: YamlSource) -> dict[str, ObjectiveSettings]:
    if not isinstance(node, dict):
        raise source.error(
            "objectives", f"needs clean_accuracy: {{direction: maximize, ..}}, got {node!r}"
        )
    objectives = {
        str(name): _validate(ObjectiveSettings, value, source, f"objectives/{name}")
        for name, value in node.items()
    }
    try:
        check_objective_names(objectives)
    except ValueError as error:
        unknown = next((name for name in node if repr(name) in str(error)), None)
        path = "objectives" if unknown is None else f"objectives/{unknown}"
        raise source.error(path, str(error)) from error
    return objectives


def _constraints(node: Any, source: YamlSource) -> dict[str, ConstraintSettings]:
    if not isinstance(node, dict):
        raise source.error("constraints", f"needs clean_accuracy: {{min: 0.9}}, got {node!r}")
    constraints = {}
    for name, value in node.items():
        path = f"constraints/{name}"
        try:
            check_metric(str(name), "constraints")
            constraints[str(name)] = _validate(ConstraintSettings, value, source, path)
            check_bounds(str(name), constraints[str(name)])
        except ValueError as error:
            raise source.error(path, str(error)) from error
    return constraints


def _validate(model: type[_Model], node: Any, source: YamlSource, path: str) -> _Model:
    try:
        return model.model_validate(node)
    except ValidationError as error:
        where, message = _explain(error, node)
        raise source.error(f"{path}/{where}".rstrip("/"), message) from error


def _validate_options(given: dict[str, Any], written: dict[str, Any]) -> SearchSettings:
    try:
        return SearchSettings.model_validate({**written, **given})
    except ValidationError as error:
        where, message = _explain(error, given)
        option = f"--{where.replace('_', '-')}: " if where else ""
        raise SearchFileError(f"{option}{message}") from error


def _check_trials(space: Space, source: YamlSource) -> None:
    """Validate the trial at each end of each leaf, and at each pair of ends.

    Bounds that hold at both ends of a range hold in between; pairs find the rules between two
    leaves, such as delta_d > delta_v.
    """
    for leaf in space.leaves:
        if leaf.path.split("/")[0] in ("data", "evaluation"):
            raise source.error(
                leaf.path, "data and evaluation are the same for all trials: give one value"
            )
    for pinned in _corners(space):
        values = space.draw(lambda leaf, pinned=pinned: pinned.get(leaf.path, _start(leaf)))  # type: ignore[misc]
        settings, origin = space.resolve(values)
        try:
            TrialConfig.model_validate(settings)
        except ValidationError as error:
            where, message = _explain(error, settings)
            if message.endswith(_ONE_VALUE):
                message += f" or a distribution: {', '.join(DISTRIBUTIONS)}"
            if not where:  # a rule between two groups names the path itself
                where, _, message = message.partition(": ")
            known = where
            while known not in origin:  # a key that is missing has no place in the file
                known = known.rpartition("/")[0]
            path = f"{origin[known]}{where.removeprefix(known)}".lstrip("/")
            raise source.error(path, message) from error


def _start(leaf: Leaf) -> Scalar:
    return leaf.distribution.ends[0]


def _corners(space: Space) -> list[Values]:
    leaves = space.leaves
    corners: list[Values] = [{}]
    for leaf in leaves:
        corners += [{**_way_to(leaf), leaf.path: end} for end in leaf.distribution.ends]
    for one, other in itertools.combinations(leaves, 2):
        way = {**_way_to(one), **_way_to(other)}
        if one.is_active(way) and other.is_active(way):
            corners += [
                {**way, one.path: first, other.path: second}
                for first in one.distribution.ends
                for second in other.distribution.ends
                if way.get(one.path, first) == first and way.get(other.path, second) == second
            ]
    return corners


def _way_to(leaf: Leaf) -> Values:
    return dict(leaf.condition)


def _explain(error: ValidationError, node: Any) -> tuple[str, str]:
    """Return the path of the first mistake inside ``node`` and one line about it."""
    # a misspelt key is both unknown and missing: the unknown one is what the person wrote
    mistakes = sorted(error.errors(), key=lambda mistake: mistake["type"] not in _WRONG_KEY)
    details = mistakes[0]
    path = _path(details, node)
    missing = [
        str(other["loc"][-1])
        for other in mistakes
        if other["type"] == "missing" and other["loc"][:-1] == details["loc"][:-1]
    ]
    words = [  # that can stand there too, like auto for a number
        other["ctx"]["expected"]
        for other in mistakes[1:]
        if other["type"] == "literal_error" and _path(other, node) == path
    ]
    return "/".join(path), " or ".join([_sentence(details, missing), *words])


def _path(details: ErrorDetails, node: Any) -> list[str]:
    path: list[str] = []
    for key in details["loc"]:
        # pydantic names the member of a union too; that is not a key of the file
        if isinstance(node, dict) and key in node:
            node = node[key]
        elif isinstance(node, list) and isinstance(key, int):
            node = node[key]
        elif key != details["loc"][-1] or details["type"] not in ("missing", *_WRONG_KEY):
            continue
        path.append(str(key))
    return path


def _sentence(details: ErrorDetails, missing: list[str]) -> str:
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    if kind == "missing":
        return "is missing; add it"
    if kind in _WRONG_KEY:
        hint = f" (missing here: {', '.join(missing)})" if missing else ""
        return f"unknown key; remove it or correct its name{hint}"
    if kind == "union_tag_invalid":
        return f"got {context['tag']!r}, expected kind to be one of {context['expected_tags']}"
    if kind == "union_tag_not_found":
        return "kind is missing; add it"
    if kind == "value_error":
        return details["msg"].removeprefix("Value error, ")
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"got {value!r}; needs settings, like {{key: value}}"
    if isinstance(value, dict):
        return f"got {value!r}; {_ONE_VALUE}"
    return f"got {value!r}; {details['msg'][0].lower()}{details['msg'][1:]}"
