from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.spec.make_spec import spec_of
from tunebox.errors import SearchFileError
from tunebox.spec.space import Choice, Leaf, Range, Space, Values
from tunebox.spec.yaml_source import parse_yaml

NESTED = """\
a: {choice: [1, 2]}
b:
  choice:
    left: {c: {uniform: [0, 1]}}
    right:
      d:
        choice:
          up: {e: {log_uniform: [1, 10]}}
          down: 5
f: [{int_uniform: [1, 3]}, 7, {g: {choice: [null, true]}}]
"""


def space_of(text: str) -> Space:
    source = parse_yaml(text, "made.yaml")
    return Space(source.data, source)


def leaf_of(space: Space, path: str) -> Leaf:
    return next(leaf for leaf in space.leaves if leaf.path == path)


def every_trial(space: Space) -> list[Values]:
    """All combinations of options and ends, by hand: a product over all leaves, then filtered."""
    paths = [leaf.path for leaf in space.leaves]
    found: list[Values] = []
    for picked in itertools.product(*(leaf.distribution.ends for leaf in space.leaves)):
        pinned = dict(zip(paths, picked, strict=True))
        values = space.draw(lambda leaf, pinned=pinned: pinned[leaf.path])  # type: ignore[misc]
        if values not in found:
            found.append(values)
    return found


def test_leaves_have_the_paths_of_the_file() -> None:
    assert [leaf.path for leaf in space_of(NESTED).leaves] == [
        "a",
        "b",
        "b/left/c",
        "b/right/d",
        "b/right/d/up/e",
        "f/0",
        "f/2/g",
    ]


def test_choice_of_branches_comes_before_the_leaves_below_it() -> None:
    seen: set[str] = set()
    for leaf in spec_of().space.leaves:
        assert {path for path, _ in leaf.condition} <= seen
        seen.add(leaf.path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{uniform: [0, 1]}", Range(0.0, 1.0, log=False, integer=False)),
        ("{uniform: [-2.5, 1e-3]}", Range(-2.5, 0.001, log=False, integer=False)),
        ("{log_uniform: [1e-4, 1]}", Range(1e-4, 1.0, log=True, integer=False)),
        ("{int_uniform: [-1, 4]}", Range(-1, 4, log=False, integer=True)),
        ("{log_int_uniform: [1, 64]}", Range(1, 64, log=True, integer=True)),
        ("{choice: [a, 1, 1.5, true, null]}", Choice(("a", 1, 1.5, True, None))),
        ("{choice: [only]}", Choice(("only",))),
        ("{choice: {a: 1, b: {c: 2}}}", Choice(("a", "b"))),
    ],
)
def test_distribution(text: str, expected: Range | Choice) -> None:
    (leaf,) = space_of(f"x: {text}").leaves
    assert leaf == Leaf("x", expected, ())


@pytest.mark.parametrize("kind", ["uniform", "log_uniform"])
def test_ends_of_real_numbers_are_real_numbers(kind: str) -> None:
    (leaf,) = space_of(f"x: {{{kind}: [1, 8]}}").leaves
    assert [type(end) for end in leaf.distribution.ends] == [float, float]


def test_conditions_name_every_branch_on_the_way() -> None:
    space = space_of(NESTED)
    assert leaf_of(space, "a").condition == ()
    assert leaf_of(space, "b/left/c").condition == (("b", "left"),)
    assert leaf_of(space, "b/right/d/up/e").condition == (("b", "right"), ("b/right/d", "up"))


def test_draw_gives_active_leaves_only() -> None:
    active = {frozenset(values) for values in every_trial(space_of(NESTED))}
    always = {"a", "b", "f/0", "f/2/g"}
    assert active == {
        frozenset(always | {"b/left/c"}),
        frozenset(always | {"b/right/d"}),
        frozenset(always | {"b/right/d", "b/right/d/up/e"}),
    }


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"b": "left", "b/left/c": 0.5}, {"c": 0.5}),
        ({"b": "right", "b/right/d": "down"}, {"d": 5}),
        ({"b": "right", "b/right/d": "up", "b/right/d/up/e": 3.0}, {"d": {"e": 3.0}}),
    ],
)
def test_resolve_leaves_no_trace_of_branches(values: Values, expected: Any) -> None:
    settings, _ = space_of(NESTED).resolve({"a": 2, "f/0": 3, "f/2/g": None, **values})
    assert settings == {"a": 2, "b": expected, "f": [3, 7, {"g": None}]}


def test_origin_of_each_setting_is_its_path_in_the_file() -> None:
    values: Values = {
        **{"a": 1, "f/0": 1, "f/2/g": True},
        **{"b": "right", "b/right/d": "up", "b/right/d/up/e": 2.0},
    }
    _, origin = space_of(NESTED).resolve(values)
    assert origin["b"] == "b/right"
    assert origin["b/d"] == "b/right/d/up"
    assert origin["b/d/e"] == "b/right/d/up/e"
    assert origin["f/2/g"] == "f/2/g"


def test_fixed_tree_has_no_leaves_keeps_the_names_and_resolves_alike() -> None:
    space = space_of(NESTED)
    for values in every_trial(space):
        tree = space.fix(values)
        source = parse_yaml("{}", "fixed.yaml")
        fixed = Space(tree, source)
        assert fixed.leaves == ()
        assert fixed.resolve({})[0] == space.resolve(values)[0]
        lines = set(fixed.resolve({})[1].values())
        assert set(space.resolve(values)[1].values()) == lines  # the same paths


def test_choice_of_one_branch_is_not_searched_and_keeps_its_name() -> None:
    space = space_of("x: {choice: {only: {y: {uniform: [0, 1]}}}}")
    assert [(leaf.path, leaf.condition) for leaf in space.leaves] == [("x/only/y", ())]
    assert space.resolve({"x/only/y": 0.25})[0] == {"x": {"y": 0.25}}


@pytest.mark.parametrize("key", ["choice: {a: {}, b: {}}", "choice: {a: {}}", "uniform: [0, 1]"])
def test_distribution_is_not_a_whole_file(key: str) -> None:
    name = key.split(":", 1)[0]
    with pytest.raises(SearchFileError, match=rf"^made.yaml:1: {name}: a distribution is the"):
        space_of(key)


MISTAKES = {
    "low above high": ("{uniform: [2, 1]}", "uniform needs low < high, got low 2 and high 1"),
    "low equals high": ("{int_uniform: [3, 3]}", "int_uniform needs low < high, got low 3"),
    "log of zero": ("{log_uniform: [0, 1]}", "log_uniform needs low > 0, got low 0"),
    "log of less": ("{log_int_uniform: [-1, 5]}", "log_int_uniform needs low > 0, got low -1"),
    "one end": ("{uniform: [1]}", "uniform needs [low, high], two numbers, got [1]"),
    "three ends": ("{uniform: [1, 2, 3]}", "uniform needs [low, high], two numbers, got [1, 2, 3]"),
    "no list": ("{uniform: 3}", "uniform needs [low, high], two numbers, got 3"),
    "a mapping": ("{uniform: {a: 1}}", "uniform needs [low, high], two numbers, got {'a': 1}"),
    "text": ("{uniform: [a, b]}", "uniform needs [low, high], two numbers, got ['a', 'b']"),
    "booleans": ("{int_uniform: [false, true]}", "two whole numbers, got [False, True]"),
    "not whole": ("{int_uniform: [1, 2.5]}", "int_uniform needs [low, high], two whole numbers"),
    "infinite": ("{uniform: [0, .inf]}", "uniform needs finite ends, got [0, inf]"),
    "not a number": ("{uniform: [.nan, 1]}", "uniform needs finite ends, got [nan, 1]"),
    "huge": (f"{{uniform: [0, 1{'0' * 400}]}}", "uniform needs finite ends, got [0, 1000"),
    "no options": ("{choice: []}", "choice needs a list or branches, got []"),
    "one option": ("{choice: 3}", "choice needs a list or branches, got 3"),
    "option twice": ("{choice: [1, 2, 1]}", "choice has an option twice: [1, 2, 1]"),
    "option that is no text": (
        '{choice: [a, "\\udcff"]}',
        "an option is text in Unicode, got '\\udcff'",
    ),
    "equal options": ("{choice: [1, 2, 1.0]}", "choice has an option twice: [1, 2, 1.0]"),
    "options that look alike": ("{choice: [\u00e9, e\u0301]}", "choice has an option twice: ["),
    "option of options": ("{choice: [{a: 1}, 2]}", "an option is one value, got {'a': 1}; write"),
    "option of a list": ("{choice: [[1], 2]}", "an option is one value, got [1]; write"),
    "option of a set": ("{choice: [!!set {a}]}", "an option is one value, got {'a'}; write"),
    "option of a date": (
        "{choice: [!!timestamp 2020-01-01]}",
        "an option is one value, got datetime.date(",
    ),
    "no branches": ("{choice: {}}", "choice needs at least one branch"),
    "branches that look alike": ("{choice: {\u00e9: 1, e\u0301: 2}}", "two branches look alike: ["),
    "branch with /": ("{choice: {a/b: 1}}", "a branch needs a name without /, got 'a/b'"),
    "branch with a number": ("{choice: {1: 1, 2: 2}}", "a branch needs a name without /, got 1"),
    "with a neighbour": (
        "{uniform: [0, 1], b: 2}",
        "a distribution stands alone or with a prior, got",
    ),
    "two at once": ("{uniform: [0, 1], choice: [1]}", "a distribution stands alone"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_told_with_its_line_and_path(mistake: str) -> None:
    text, message = MISTAKES[mistake]
    with pytest.raises(SearchFileError) as error:
        space_of(f"w: 1\ny:\n  x: {text}\n")
    assert str(error.value).startswith("made.yaml:3: y/x: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_options_that_only_python_takes_for_equal_are_two() -> None:
    (leaf,) = space_of("x: {choice: [1, true, '1']}").leaves
    assert leaf.distribution.ends == (1, True, "1")
