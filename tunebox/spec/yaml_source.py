"""YAML text to plain data, with the line of every path for error messages."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tunebox.errors import SearchFileError

# PyYAML follows YAML 1.1, where 1e-3 is text and the key `on` is true. People mean YAML 1.2.
_FLOAT = re.compile(
    r"^[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.inf)$|^\.nan$"
)
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_REPLACED = ("tag:yaml.org,2002:float", "tag:yaml.org,2002:bool")


class _Loader(yaml.SafeLoader):
    """The safe loader with the floats and booleans of YAML 1.2."""


_Loader.yaml_implicit_resolvers = {
    first: [rule for rule in rules if rule[0] not in _REPLACED]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
FLOAT_RULE = (_REPLACED[0], _FLOAT, list("-+0123456789."))
_Loader.add_implicit_resolver(*FLOAT_RULE)
_Loader.add_implicit_resolver(_REPLACED[1], _BOOL, list("tTfF"))


_MAX_PATHS = 100_000


@dataclass(frozen=True)
class YamlSource:
    """A YAML mapping, where it came from, and the line on which each path starts."""

    name: str
    text: str
    data: dict[str, Any]
    lines: dict[str, int]

    def error(self, path: str, message: str) -> SearchFileError:
        """Return an error that names the file, the line and the path."""
        return SearchFileError(f"{self.name}:{self._line(path)}: {path}: {message}")

    def _line(self, path: str) -> int:
        # A default that was not written has no line of its own: name the group that it is in.
        while path not in self.lines and "/" in path:
            path = path.rpartition("/")[0]
        return self.lines.get(path, 1)


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
    except UnicodeDecodeError as error:
        raise SearchFileError(f"{path}: not a text file in UTF-8") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> YamlSource:
    """Return the mapping in ``text``; ``name`` stands for it in error messages.

    Raises:
        SearchFileError: The text is not YAML, not a mapping, or has a key twice.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
        lines: dict[str, int] = {}
        if node is not None:
            _note_lines(node, "", name, lines, frozenset())
        data = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark is not None else 1
        raise SearchFileError(f"{name}:{line}: not YAML: {error.problem}") from error
    except SearchFileError:
        raise
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: day 99 of a month
        raise SearchFileError(f"{name}:1: not YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(data, dict):
        raise SearchFileError(
            f"{name}:1: a search file is a mapping of settings, like data: {{..}}"
        )
    return YamlSource(name=name, text=text, data=data, lines=lines)


def _note_lines(
    node: yaml.Node, path: str, name: str, lines: dict[str, int], above: frozenset[int]
) -> None:
    if len(lines) > _MAX_PATHS:  # aliases of aliases grow without bound
        raise SearchFileError(f"{name}:1: more than {_MAX_PATHS} settings")
    if id(node) in above:
        line = lines[path]  # of the alias, not of what it stands for
        raise SearchFileError(f"{name}:{line}: {path}: an alias that contains itself")
    above = above | {id(node)}
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            below = f"{path}/{index}"
            lines.setdefault(below, item.start_mark.line + 1)
            _note_lines(item, below, name, lines, above)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key_line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise SearchFileError(f"{name}:{key_line}: a key must be a word")
            key = str(key_node.value)
            if key in seen:
                raise SearchFileError(
                    f"{name}:{key_line}: {path or key}: the key {key!r} is there twice"
                )
            seen.add(key)
            # choice is how a branch is written, not a part of its name
            is_branching = key == "choice" and isinstance(value_node, yaml.MappingNode)
            below = path if is_branching else f"{path}/{key}".lstrip("/")
            lines.setdefault(below, key_line)
            _note_lines(value_node, below, name, lines, above)
