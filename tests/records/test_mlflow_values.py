import pytest

from tunebox.records import mlflow_values as values


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("losses/ours/discriminative/weight", "losses/ours/discriminative/weight"),
        ("losses/our best (2)/x", "losses/our best _2_/x"),
        ("λ", "λ"),
    ],
)
def test_keys_keep_the_path(name: str, expected: str) -> None:
    assert values.key(name) == expected


def test_long_keys_are_cut_to_the_limit() -> None:
    assert len(values.key("a" * 300)) == values.MAX_KEY


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
