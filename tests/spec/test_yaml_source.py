from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest

from tunebox.errors import SearchFileError
from tunebox.spec.write import dump_yaml
from tunebox.spec.yaml_source import parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        ("-2.5e+2", -250.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("3", 3),
        ("-3", -3),
        ("010", 10),
        ("08", 8),
        ("+7", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("'1e-3'", "1e-3"),
        ("1e-3s", "1e-3s"),
        ("v1.0", "v1.0"),
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("n", "n"),
        ("null", None),
        ("~", None),
        ("", None),
        (".inf", float("inf")),
        ("-.Inf", float("-inf")),
        ("+.INF", float("inf")),
        ("2024-01-01", "2024-01-01"),
        ("2020-99-99", "2020-99-99"),
        ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"),
        ("=", "="),
        ("\u0661\u0662", "\u0661\u0662"),
        ("0.1_5", "0.1_5"),
        ("!!float 1", 1.0),
        ("!!float .Inf", float("inf")),
        ("!!int 0x10", 16),
    ],
)
def test_value_as_people_mean_it(text: str, expected: Any) -> None:
    value = parse_yaml(f"x: {text}", "made.yaml").data["x"]
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
def test_no_number(text: str) -> None:
    assert math.isnan(parse_yaml(f"x: {text}", "made.yaml").data["x"])


def test_on_is_a_key() -> None:
    assert parse_yaml("on: clean\nno: 1\n", "made.yaml").data == {"on": "clean", "no": 1}


def test_lines_of_paths() -> None:
    text = "# question\na: 1\nb:\n  c: 2\n\n  d: [1,\n    {e: 5}]\n"
    lines = parse_yaml(text, "made.yaml").lines
    assert lines == {
        **{"a": 2, "b": 3, "b/c": 4, "b/d": 6},
        **{"b/d/0": 6, "b/d/1": 7, "b/d/1/e": 7},
    }


def test_choice_is_no_part_of_the_path_of_a_branch() -> None:
    text = "a:\n  choice:\n    left:\n      b: 1\n    right: {}\n"
    lines = parse_yaml(text, "made.yaml").lines
    assert lines is not None
    assert (lines["a/left"], lines["a/left/b"], lines["a/right"]) == (3, 4, 5)


def test_error_names_the_nearest_line_above_what_was_not_written() -> None:
    source = parse_yaml("a: 1\nb:\n  c: 2\n", "made.yaml")
    assert str(source.error("b/c/d/e", "bad")) == "made.yaml:3: b/c/d/e: bad"
    assert str(source.error("b/x", "bad")) == "made.yaml:2: b/x: bad"
    assert str(source.error("x", "bad")) == "made.yaml:1: x: bad"


def test_alias_is_followed_and_belongs_to_the_path_where_it_stands() -> None:
    text = "a: &noise {kind: gaussian}\nb:\n  c: *noise\nd:\n  <<: *noise\n  std: 1\n"
    source = parse_yaml(text, "made.yaml")
    assert source.data["b"] == {"c": {"kind": "gaussian"}}
    assert source.data["d"] == {"kind": "gaussian", "std": 1}
    assert source.lines is not None
    assert source.lines["b/c"] == 3


MISTAKES: dict[str, tuple[str, str]] = {
    "twice": ("a: 1\nb: 2\na: 3\n", "made.yaml:3: a: the key 'a' is there twice"),
    "twice inside": ("a:\n  b: 1\n  b: 2\n", "made.yaml:3: a: the key 'b' is there twice"),
    "twice in a list": ("a:\n- {b: 1, b: 2}\n", "made.yaml:2: a/0: the key 'b' is there twice"),
    "twice in a branch": (
        "a:\n  choice:\n    b: 1\n    b: 2\n",
        "made.yaml:4: a: the key 'b' is there twice",
    ),
    "not closed": ("a: 1\nb: [1, 2\n", "made.yaml:3: not YAML: "),
    "tab": ("a:\n\tb: 1\n", "made.yaml:2: not YAML: found character '\\t'"),
    "two colons": ("a: b: c\n", "made.yaml:1: not YAML: mapping values are not allowed here"),
    "two documents": ("a: 1\n---\nb: 2\n", "made.yaml:2: not YAML: but found another document"),
    "no such alias": ("a: 1\nb: *c\n", "made.yaml:2: not YAML: found undefined alias"),
    "alias cycle": ("a: 1\nb: &b\n  c: *b\n", "made.yaml:3: b/c: an alias that contains itself"),
    "alias cycle in a list": ("b: &b\n- *b\n", "made.yaml:1: b/0: an alias that contains itself"),
    "object": ("a: !!python/object:os.system {}\n", "made.yaml:1: not YAML: could not determine"),
    "control character": ("a: \x07\n", "made.yaml:1: not YAML: unacceptable character #x0007"),
    "impossible date": (
        "a: !!timestamp 2020-99-99\n",
        "made.yaml:1: not YAML: month must be in 1..12",
    ),
    "endless number": (
        f"a: {'9' * 5000}\n",
        "made.yaml:1: not YAML: a whole number with 5000 digits",
    ),
    "time as a number": ("a: !!float 1:30\n", "made.yaml:1: not YAML: '1:30' is not a number"),
    "binary number": ("a: !!int 0b1\n", "made.yaml:1: not YAML: '0b1' is not a whole number"),
    "one key, spelled twice": ("a:\n  1: x\n  0x1: y\n", "made.yaml:3: a: the key '0x1' is there"),
    "one key, two types": ("a:\n  1: x\n  1.0: y\n", "made.yaml:3: a: the key '1.0' is there"),
    "nothing as a key": ("a: {~: 1, null: 2}\n", "made.yaml:1: a: the key 'null' is there twice"),
    "truth as a key": ("a: {true: 1, True: 2}\n", "made.yaml:1: a: the key 'True' is there twice"),
    "half a character": ('a: "\\ud800"\n', "made.yaml:1: a: has a character that is none: "),
    "half a character in a key": (
        'a:\n  "\\udcff": 1\n',
        "made.yaml:2: a: has a character that is none: ",
    ),
    "zero in a text": ('a: "b\\0c"\n', "made.yaml:1: a: has a character that is none: "),
    "key of a list": ("a: 1\n? [b, c]\n: 2\n", "made.yaml:2: a key must be a word"),
    "empty": ("", "made.yaml:1: a search file is a mapping of settings, like data: {..}"),
    "comment only": ("# what?\n", "made.yaml:1: a search file is a mapping of settings"),
    "a list": ("- a\n- b\n", "made.yaml:1: a search file is a mapping of settings"),
    "a word": ("digits\n", "made.yaml:1: a search file is a mapping of settings"),
    "deep": ("[" * 1000, "made.yaml:1: not YAML: "),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_one_line_with_its_place(mistake: str) -> None:
    text, message = MISTAKES[mistake]
    with pytest.raises(SearchFileError) as error:
        parse_yaml(text, "made.yaml")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_path_may_have_bytes_that_are_no_text() -> None:
    name = os.fsdecode(b"/data/\xff")
    assert parse_yaml(dump_yaml({"out": name}), "made.yaml").data == {"out": name}


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SearchFileError, match=r"absent\.yaml: cannot be read \(No such file"):
        read_yaml(tmp_path / "absent.yaml")
    with pytest.raises(SearchFileError, match=r"cannot be read \(Is a directory\)"):
        read_yaml(tmp_path)
    path = tmp_path / "latin.yaml"
    path.write_bytes("a: \u00e9".encode("latin-1"))
    with pytest.raises(SearchFileError, match=r"latin\.yaml: not a text file in UTF-8"):
        read_yaml(path)


def test_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "made.yaml"
    path.write_bytes(b"\xef\xbb\xbf# Is it there?\na: \xc3\xa9\n")
    assert read_yaml(path).data == {"a": "\u00e9"}
