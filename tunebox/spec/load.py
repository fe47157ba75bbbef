"""Find, read and validate search files, so that no trial can get an invalid setting."""

import difflib
import itertools
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tunebox.errors import OptionError, SearchFileError
from tunebox.parts.code import CodeFinder, named_objects
from tunebox.spec.own_reported import OwnMetrics
from tunebox.spec.places import places_of
from tunebox.spec.reported import ReportedMetrics
from tunebox.spec.search_settings import SearchSettings
from tunebox.spec.search_spec import (
    FORMAT,
    ConstraintSettings,
    ObjectiveSettings,
    SearchSpec,
)
from tunebox.spec.space import DISTRIBUTIONS, Leaf, Space, Values
from tunebox.spec.start import read_start
from tunebox.spec.trial_kinds import TrialKind, trial_kind
from tunebox.spec.write import dump_yaml
from tunebox.spec.yaml_source import YamlSource, parse_yaml, read_yaml

DEFAULT_OBJECTIVES: dict[str, Any] = {
    "clean_accuracy": {"direction": "maximize", "reference": 0.0},
    "noisy_accuracy": {"direction": "maximize", "reference": 0.0},
}

# in the folder of an exported model, whose code does not run unasked; the second: until 0.1.0
_EXPORT_MARKS = ("model.json", "card.md")
_WRONG_KEY = "unknown_key"

_ONE_VALUE = "needs one value"
_LINE_BREAK = re.compile("[\n\r\x85\u2028\u2029]")  # each ends a comment of YAML

# a path, the name of a shipped file, "-" for standard input, data, or a checked search file
SearchFile: TypeAlias = str | Path | Mapping[str, Any] | SearchSpec

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


def source_of_data(data: Mapping[str, Any]) -> YamlSource:
    """Return a search file that is given as plain data: mappings, lists, words and numbers.

    Raises:
        SearchFileError: It has something else in it.
    """
    try:
        text = dump_yaml(dict(data))
    except yaml.YAMLError as error:
        what = str(error).splitlines()[0]
        raise SearchFileError(
            f"<dict>: not plain data ({what}); give numbers, words, lists and dicts"
        ) from error
    return replace(parse_yaml(text, "<dict>"), lines=None)


def load_spec(
    file: SearchFile,
    overrides: Mapping[str, Any] | None = None,
    *,
    code: Path | None = None,
) -> SearchSpec:
    """Return the checked search file ``file``.

    Args:
        file: A path, the name of a shipped file, ``-`` for standard input, a search file as
            data, or one that has been checked.
        overrides: Settings of ``search`` that override those of the file; None values are ignored.
        code: Folder with copies of the code of the user's own that the file names; None for the
            originals.

    Raises:
        SearchFileError: The file has a mistake; names file, line, path, value and bound.
    """
    if isinstance(file, SearchSpec):
        given = {key: value for key, value in (overrides or {}).items() if value is not None}
        return replace(file, search=_validate_options(given, file.search.model_dump(), file.kind))
    if isinstance(file, Mapping):
        plain, objects = named_objects(file)
        return spec_from_source(source_of_data(plain), overrides, CodeFinder(objects=objects))
    source = find_source(str(file))
    folder = Path(source.name).parent
    finder = CodeFinder(folder)
    if code is not None:
        finder = replace(finder, copies=code)
    elif any((folder / name).is_file() for name in _EXPORT_MARKS):
        finder = replace(finder, closed=folder)
    return spec_from_source(source, overrides, finder)


def spec_from_source(
    source: YamlSource,
    overrides: Mapping[str, Any] | None = None,
    code: CodeFinder | None = None,
    *,
    checks_trials: bool = True,
) -> SearchSpec:
    """Return the checked search file that ``source`` holds; see `load_spec`.

    Args:
        source: The search file.
        overrides: Settings of ``search`` that override those of the file.
        code: Finds the code of the user's own that the file names.
        checks_trials: Whether the settings of trials are checked, which needs that code.
    """
    code = code or CodeFinder()
    tree = dict(source.data)
    _check_format(tree.pop("format", FORMAT), source)
    kind = trial_kind(tree)
    if kind.names_metrics or not checks_trials:
        reported: ReportedMetrics = OwnMetrics()
    else:
        reported = _reported(tree.get("evaluation"), source, code)
    default_objectives = {} if kind.names_metrics else DEFAULT_OBJECTIVES
    objectives = _objectives(tree.pop("objectives", default_objectives), source, reported)
    constraints = _constraints(tree.pop("constraints", {}), source, reported)
    start = tree.pop("start", [])
    written = tree.pop("search", {})
    if not isinstance(written, dict):
        raise source.error("search", f"needs settings like trials: 64, got {written!r}")
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    _validate(SearchSettings, written, source, "search")
    search = _validate_options(given, written, kind)
    space = Space(tree, source)
    if checks_trials:
        _check_trials(space, source, code, kind)
    for what, names in (("objectives", objectives), ("constraints", constraints)):
        for name in reported.left_out_of(names):
            message = f"no trial reports {name!r}; add it to evaluation/metrics"
            raise source.error(f"{what}/{name}", message)
    first_line = _LINE_BREAK.split(source.text.lstrip("\ufeff"), maxsplit=1)[0]
    question = first_line.lstrip("# ").strip() if first_line.startswith("#") else ""
    first = read_start(start, space, source)
    return SearchSpec(source, question, space, objectives, search, constraints, first, code)


def _check_format(found: Any, source: YamlSource) -> None:
    if not isinstance(found, int) or found > FORMAT:
        raise source.error("format", f"{found!r} was made by a newer tunebox; update tunebox")


def _reported(evaluation: Any, source: YamlSource, code: CodeFinder) -> ReportedMetrics:
    try:
        return ReportedMetrics(evaluation, code)
    except ValidationError as error:
        keys = dict.fromkeys(error.errors()[0]["loc"])  # of one metric, whichever it is
        where, message = _explain(error, keys)
        raise source.error(f"evaluation/metrics/{where}".rstrip("/"), message) from error


def _objectives(
    node: Any, source: YamlSource, reported: ReportedMetrics
) -> dict[str, ObjectiveSettings]:
    if not isinstance(node, dict):
        raise source.error(
            "objectives", f"needs clean_accuracy: {{direction: maximize, ..}}, got {node!r}"
        )
    objectives = {
        str(name): _validate(
            ObjectiveSettings,
            _with_direction(reported.direction(str(name)), value),
            source,
            f"objectives/{name}",
        )
        for name, value in node.items()
    }
    try:
        reported.check_objectives(objectives)
    except ValueError as error:
        unknown = next((name for name in node if repr(name) in str(error)), None)
        path = "objectives" if unknown is None else f"objectives/{unknown}"
        raise source.error(path, str(error)) from error
    return objectives


def _with_direction(direction: str | None, node: Any) -> Any:
    """Return the settings of an objective with the direction of its metric where none is given."""
    if not isinstance(node, dict) or direction is None:
        return node
    return {"direction": direction, **node}


def _constraints(
    node: Any, source: YamlSource, reported: ReportedMetrics
) -> dict[str, ConstraintSettings]:
    if not isinstance(node, dict):
        raise source.error("constraints", f"needs clean_accuracy: {{min: 0.9}}, got {node!r}")
    constraints = {}
    for name, value in node.items():
        path = f"constraints/{name}"
        try:
            reported.check_metric(str(name), "constraints")
            constraints[str(name)] = _validate(ConstraintSettings, value, source, path)
            reported.check_bounds(str(name), constraints[str(name)])
        except ValueError as error:
            raise source.error(path, str(error)) from error
    return constraints


def _validate(model: type[_Model], node: Any, source: YamlSource, path: str) -> _Model:
    try:
        return model.model_validate(node)
    except ValidationError as error:
        where, message = _explain(error, node)
        raise source.error(f"{path}/{where}".rstrip("/"), message) from error


def _validate_options(
    given: dict[str, Any], written: dict[str, Any], kind: TrialKind
) -> SearchSettings:
    try:
        search = SearchSettings.model_validate({**written, **given})
    except ValidationError as error:
        where, message = _explain(error, given)
        raise (OptionError(where, f": {message}") if where else SearchFileError(message)) from error
    try:
        kind.check_search(search)
    except ValueError as error:
        raise SearchFileError(str(error)) from error
    return search


def _check_trials(space: Space, source: YamlSource, code: CodeFinder, kind: TrialKind) -> None:
    """Validate trials at the ends of every leaf, and at the ends of every pair of leaves.

    Bounds that hold at both ends of a range hold in between. Pairs check rules between two
    leaves, such as delta_d > delta_v.
    """
    for leaf in space.leaves:
        if leaf.path.split("/")[0] in kind.same_for_all:
            groups = " and ".join(kind.same_for_all)
            are = "are" if len(kind.same_for_all) > 1 else "is"
            message = f"{groups} {are} the same for all trials: give one value"
            raise source.error(leaf.path, message)
    for pinned in _corners(space):
        settings, origin = space.resolve(space.filled(pinned))
        try:
            kind.config(settings, code)
        except ValidationError as error:
            where, message = _explain(error, settings)
            if message.endswith(_ONE_VALUE):
                message += f" or a distribution: {', '.join(DISTRIBUTIONS)}"
            if not where:  # the message of a rule between two groups starts with the path
                where, _, message = message.partition(": ")
            known = where
            while known not in origin:  # a missing key has no place in the file
                known = known.rpartition("/")[0]
            path = f"{origin[known]}{where.removeprefix(known)}".lstrip("/")
            raise source.error(path, message) from error


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
    """Return the path of the first mistake inside ``node``, and one line about it."""
    # a key that stands in the wrong group may also be missing in the right one
    mistakes = sorted(error.errors(), key=lambda mistake: mistake["type"] != _WRONG_KEY)
    details = mistakes[0]
    path = _path(details, node)
    words = [  # literals that are allowed too, such as auto for a number
        other["ctx"]["expected"]
        for other in mistakes[1:]
        if other["type"] == "literal_error" and _path(other, node) == path
    ]
    return "/".join(path), " or ".join([_sentence(details, path), *words])


def _path(details: ErrorDetails, node: Any) -> list[str]:
    path: list[str] = []
    for key in details["loc"]:
        # pydantic's location includes the member of a union, which is not a key of the file
        if isinstance(node, dict) and key in node:
            node = node[key]
        elif isinstance(node, list) and isinstance(key, int):
            node = node[key]
        elif key != details["loc"][-1] or details["type"] not in ("missing", "missing_kind"):
            continue
        path.append(str(key))
    if details["type"] == _WRONG_KEY:
        path.append(details["ctx"]["key"])
    return path


def _unknown_key(path: list[str], allowed: list[str]) -> str:
    key = path[-1]
    near = difflib.get_close_matches(key, allowed, n=1)
    # of another kind in the same place it may be a key, which does not help here
    places = [p for p in places_of(key) if p.split("/")[-2:] != path[-2:] and not near]
    if near:
        hint = f"did you mean {near[0]}? the keys here are"
    elif places:
        more = f", and {len(places) - 3} other places" if len(places) > 3 else ""
        hint = f"it belongs to {' or '.join(places[:3])}{more}; the keys here are"
    else:
        hint = "remove it, or choose from"
    return f"unknown key; {hint} {', '.join(allowed)}"


def _sentence(details: ErrorDetails, path: list[str]) -> str:
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    if kind == "missing":
        return "is missing; add it"
    if kind == _WRONG_KEY:
        return _unknown_key(path, context["allowed"])
    if kind in ("unknown_kind", "missing_kind", "own_code"):
        return details["msg"]
    if kind == "value_error":
        return details["msg"].removeprefix("Value error, ")
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"got {value!r}; needs settings, like {{key: value}}"
    if isinstance(value, dict):
        return f"got {value!r}; {_ONE_VALUE}"
    hint = f"; in percent? write {value / 100:g}" if _is_percent(kind, context, value) else ""
    return f"got {value!r}; {details['msg'][0].lower()}{details['msg'][1:]}{hint}"


def _is_percent(kind: str, context: Mapping[str, Any], value: Any) -> bool:
    """Return whether ``value`` looks like percent where a share is needed."""
    is_share = kind in ("less_than", "less_than_equal") and 1 in context.values()
    return is_share and isinstance(value, int | float) and 1 < value <= 100
