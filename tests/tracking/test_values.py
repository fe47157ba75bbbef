import re

import pytest
from mlflow.utils.validation import _validate_metric_name, _validate_param_name

from tunebox.tracking import values


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("losses/ours/discriminative/weight", "losses/ours/discriminative/weight"),
        ("losses/our best (2)/x", "losses/our best _2_/x-f45cd0ec"),
        ("λ", "λ"),
    ],
)
def test_keys_keep_the_path(name: str, expected: str) -> None:
    assert values.key(name) == expected


@pytest.mark.parametrize("name", ["a//b", "/a", "a/", "./a", "../a", "a/../b", ".", "..", "/"])
def test_keys_are_paths_that_mlflow_takes(name: str) -> None:
    key = values.key(name)
    _validate_metric_name(key)  # type: ignore[no-untyped-call]
    _validate_param_name(key)  # type: ignore[no-untyped-call]
    assert re.search("-[0-9a-f]{8}$", key)  # so that it is no other name


def test_long_keys_are_cut_to_the_limit() -> None:
    assert len(values.key("a" * 300)) == values.MAX_KEY


def test_unlike_names_have_unlike_keys() -> None:
    names = ["a" * 300, "a" * 300 + "b", "a" * 301, "x(1)", "x[1]", "x_1_"]
    assert len({values.key(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "null"), (True, "true"), (3, "3"), (0.1, "0.1"), ("auto", "auto"), ("", "")],
)
def test_parameters_read_as_in_a_search_file(value: str | float | None, expected: str) -> None:
    assert values.param(value) == expected


def test_long_values_say_that_they_were_cut() -> None:
    text = values.param("b" * 7000)
    assert len(text) == values.MAX_PARAM
    assert text.endswith("... (cut: 7000 characters)")
    assert values.tag("c" * 9000).endswith("(cut: 9000 characters)")
    assert values.param("d" * values.MAX_PARAM) == "d" * values.MAX_PARAM
