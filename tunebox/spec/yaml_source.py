"""Parse YAML into plain data, with the line of every path for error messages."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tunebox.errors import SearchFileError, describe_error
from tunebox.spec.yaml_checksum import is_changed

# PyYAML follows YAML 1.1, where 1e-3 is a string, 010 is 8, 1:30 is 90, 2024-01-01 is no text and
# the key `on` is true. Users expect YAML 1.2.
_FLOAT = re.compile(
    r"^[-+]?(?:[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+"
    r"|\.(?:inf|Inf|INF))$|^\.(?:nan|NaN|NAN)$"
)
_INT = re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$")
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_TAG = "tag:yaml.org,2002:"
_FLOAT_TAG, _INT_TAG, _BOOL_TAG = (f"{_TAG}{name}" for name in ("float", "int", "bool"))
_TEXT_TAGS = (f"{_TAG}str", f"{_TAG}merge")  # of keys
_OTHER_RULES = [_FLOAT_TAG, _INT_TAG, _BOOL_TAG, f"{_TAG}timestamp", f"{_TAG}value"]  # of YAML 1.1


_MAX_BITS = 13_000  # of a whole number; Python does not print much larger ones
_MAX_DIGITS = 4_000


class _Loader(yaml.SafeLoader):
    """The safe loader with the numbers and booleans of YAML 1.2."""

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Return a whole number; a leading zero means nothing."""
        text = str(self.construct_scalar(node))
        if not _INT.match(text):  # it has the tag !!int
            raise ValueError(f"{text!r} is not a whole number")
        is_decimal = text[:2] not in ("0o", "0x")
        if not is_decimal or len(text) <= _MAX_DIGITS:  # Python reads no longer ones
            number = int(text) if is_decimal else int(text, 0)
            if number.bit_length() <= _MAX_BITS:
                return number
        raise ValueError(f"a whole number with {len(text)} digits")

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        """Return a number; the sixties of YAML 1.1 are none."""
        text = str(self.construct_scalar(node))
        if not _FLOAT.match(text) and not _INT.match(text):  # it has the tag !!float
            raise ValueError(f"{text!r} is not a number")
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_Loader.yaml_implicit_resolvers = {
    first: [rule for rule in rules if rule[0] not in _OTHER_RULES]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_constructor(_INT_TAG, _Loader.construct_yaml_int)
_Loader.add_constructor(_FLOAT_TAG, _Loader.construct_yaml_float)
INT_RULE = (_INT_TAG, _INT, list("-+0123456789"))
FLOAT_RULE = (_FLOAT_TAG, _FLOAT, list("-+0123456789."))
for _rule in (INT_RULE, FLOAT_RULE, (_BOOL_TAG, _BOOL, list("tTfF"))):
    _Loader.add_implicit_resolver(*_rule)


_MAX_PATHS = 100_000
_MAX_DEPTH = 100


@dataclass(frozen=True)
class YamlSource:
    """A YAML mapping, its origin, and the line on which each path starts.

    A mapping that was not read from a text has no lines.
    """

    name: str
    text: str
    data: dict[str, Any]
    lines: dict[str, int] | None

    def error(self, path: str, message: str) -> SearchFileError:
        """Return an error with the file, the line and the path."""
        line = "" if self.lines is None else f"{self._line(path, self.lines)}:"
        return SearchFileError(f"{self.name}:{line} {path}: {message}")

    def _line(self, path: str, lines: dict[str, int]) -> int:
        # A default that is not in the file has no line: use the line of the group around it.
        while path not in lines and "/" in path:
            path = path.rpartition("/")[0]
        return lines.get(path, 1)


def read_yaml(path: Path) -> YamlSource:
    """Return the mapping in the file at ``path``.

    Raises:
        SearchFileError: The file is absent, unreadable, not YAML, or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SearchFileError(
            f"{path}: cannot be read ({error.strerror}); give the path of a search file"
        ) from error
    except ValueError as error:
        raise SearchFileError(f"{path}: not a text file in UTF-8") from error
    return parse_yaml(text, str(path))


def load_yaml(text: str) -> Any:
    """Return the data in a text of YAML 1.1 that is no search file, with bounds on its size.

    Raises:
        ValueError: It is not YAML, too large or too deep; any other exception of Python may come
            for a text that is damaged.
    """
    try:
        return _load(text, yaml.SafeLoader, _check_size)
    except yaml.MarkedYAMLError as error:
        line = 1 if error.problem_mark is None else error.problem_mark.line + 1
        raise ValueError(f"line {line}: {error.problem}") from error


def _load(text: str, kind: type[yaml.SafeLoader], check: Callable[[yaml.Node], None]) -> Any:
    """Return the data in ``text``; ``check`` gets its nodes before anything is made of them."""
    loader = kind(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        check(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_size(node: yaml.Node) -> None:
    """Raise ValueError for a document that is too deep, or whose aliases expand too far."""
    nodes = [(node, 0)]
    count = 0
    while nodes:
        node, depth = nodes.pop()
        count += 1
        if depth > _MAX_DEPTH or count > _MAX_PATHS:
            raise ValueError(
                f"it is nested more than {_MAX_DEPTH} levels deep"
                if depth > _MAX_DEPTH
                else f"it has more than {_MAX_PATHS} values"
            )
        if isinstance(node, yaml.SequenceNode):
            nodes += [(item, depth + 1) for item in node.value]
        elif isinstance(node, yaml.MappingNode):
            nodes += [(item, depth + 1) for pair in node.value for item in pair]


def parse_yaml(text: str, name: str) -> YamlSource:
    """Return the mapping in ``text``; ``name`` names the source in error messages.

    Raises:
        SearchFileError: The text is not YAML, not a mapping, has a key twice, or is not what its
            checksum says.
    """
    if is_changed(text):
        raise SearchFileError(
            f"{name} is not as tunebox wrote it: put it back, or remove the line of its checksum, "
            "at its end, if you changed it on purpose"
        )
    lines: dict[str, int] = {}
    try:
        data = _load(text, _Loader, lambda node: _note_lines(node, "", name, lines, frozenset()))
    except SearchFileError:
        raise
    except Exception as error:  # such as ValueError: PyYAML lets those of Python through
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or describe_error(error)
        line = 1 if mark is None else mark.line + 1
        raise SearchFileError(f"{name}:{line}: not YAML: {problem}") from error
    if not isinstance(data, dict):
        raise SearchFileError(
            f"{name}:1: a search file is a mapping of settings, like data: {{..}}"
        )
    return YamlSource(name=name, text=text, data=data, lines=lines)


def _note_lines(
    node: yaml.Node, path: str, name: str, lines: dict[str, int], above: frozenset[int]
) -> None:
    if len(lines) > _MAX_PATHS:  # nested aliases expand exponentially
        raise SearchFileError(f"{name}:1: more than {_MAX_PATHS} settings")
    if len(above) > _MAX_DEPTH:
        line = node.start_mark.line + 1
        raise SearchFileError(f"{name}:{line}: settings are nested more than {_MAX_DEPTH} deep")
    if id(node) in above:
        line = lines[path]  # of the alias, not of its anchor
        raise SearchFileError(f"{name}:{line}: {path}: an alias that contains itself")
    above = above | {id(node)}
    if isinstance(node, yaml.ScalarNode):
        _check_text(node, path, name, os.fsencode)  # it may be a path
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            below = f"{path}/{index}"
            lines.setdefault(below, item.start_mark.line + 1)
            _note_lines(item, below, name, lines, above)
    elif isinstance(node, yaml.MappingNode):
        seen: set[Any] = set()
        for key_node, value_node in node.value:
            key_line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise SearchFileError(f"{name}:{key_line}: a key must be a word")
            _check_text(key_node, path, name, str.encode)
            key = str(key_node.value)
            meanings = {key, _meaning(key_node)}
            if meanings & seen:
                raise SearchFileError(
                    f"{name}:{key_line}: {path or key}: the key {key!r} is there twice"
                )
            seen |= meanings
            # the key choice is not part of the path of a branch
            is_branching = key == "choice" and isinstance(value_node, yaml.MappingNode)
            below = path if is_branching else f"{path}/{key}".lstrip("/")
            lines.setdefault(below, key_line)
            _note_lines(value_node, below, name, lines, above)


def _meaning(key: yaml.ScalarNode) -> Any:
    """Return the key that a mapping gets: 1, 01 and 0x1 are one."""
    return str(key.value) if key.tag in _TEXT_TAGS else _Loader("").construct_object(key)


def _check_text(
    node: yaml.ScalarNode, path: str, name: str, encode: Callable[[str], bytes]
) -> None:
    """Raise SearchFileError for a text that no file, and no name of a file, can have."""
    text = str(node.value)
    try:
        is_text = b"\0" not in encode(text)
    except UnicodeEncodeError:
        is_text = False
    if not is_text:
        line = node.start_mark.line + 1
        raise SearchFileError(
            f"{name}:{line}: {path or text}: has a character that is none: {text!r}"
        )
