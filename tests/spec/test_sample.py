from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.spec.make_spec import spec_of
from tunebox.spec.sample import sample_values
from tunebox.spec.space import Choice, Space
from tunebox.spec.yaml_source import parse_yaml


def space_of(text: str) -> Space:
    source = parse_yaml(text, "made.yaml")
    return Space(source.data, source)


@given(
    low=st.floats(-1e300, 1e300, allow_nan=False),
    high=st.floats(-1e300, 1e300, allow_nan=False),
    seed=st.integers(0, 1000),
)
def test_real_number_is_within_its_range(low: float, high: float, seed: int) -> None:
    low, high = min(low, high), max(low, high)
    if low == high:
        return
    space = space_of(f"x: {{uniform: [{low!r}, {high!r}]}}")
    value = sample_values(space, random.Random(seed))["x"]
    assert isinstance(value, float)
    assert low <= value <= high


@given(low=st.floats(1e-300, 1e300), factor=st.floats(1.0001, 1e5), seed=st.integers(0, 1000))
def test_logarithmic_number_is_within_its_range(low: float, factor: float, seed: int) -> None:
    high = low * factor
    space = space_of(f"x: {{log_uniform: [{low!r}, {high!r}]}}")
    value = sample_values(space, random.Random(seed))["x"]
    assert isinstance(value, float)
    assert low <= value <= high


@pytest.mark.parametrize("kind", ["int_uniform", "log_int_uniform"])
@given(low=st.integers(1, 10**6), width=st.integers(1, 10**6), seed=st.integers(0, 1000))
def test_whole_number_is_within_its_range(kind: str, low: int, width: int, seed: int) -> None:
    space = space_of(f"x: {{{kind}: [{low}, {low + width}]}}")
    value = sample_values(space, random.Random(seed))["x"]
    assert type(value) is int
    assert low <= value <= low + width


def draws(text: str, count: int = 4000) -> list[float]:
    space = space_of(f"x: {text}")
    generator = random.Random(1)
    values = [sample_values(space, generator)["x"] for _ in range(count)]
    return [float(value) for value in values if isinstance(value, int | float)]


def test_uniform_in_value_or_in_logarithm() -> None:
    # the median of 4000 draws is within 4 standard errors, 0.5 / sqrt(4000), of the middle
    def place(value: float, low: float, high: float) -> float:
        return (value - low) / (high - low)

    tolerance = 4 * 0.5 / math.sqrt(4000)
    real = sorted(draws("{uniform: [2, 10]}"))[2000]
    assert place(real, 2, 10) == pytest.approx(0.5, abs=tolerance)
    logarithmic = sorted(draws("{log_uniform: [1e-4, 1]}"))[2000]
    assert place(math.log(logarithmic), math.log(1e-4), 0) == pytest.approx(0.5, abs=tolerance)


def test_every_whole_number_and_every_option_comes() -> None:
    assert set(draws("{int_uniform: [2, 6]}")) == {2, 3, 4, 5, 6}
    assert set(draws("{log_int_uniform: [1, 4]}")) == {1, 2, 3, 4}
    assert set(draws("{choice: [3, 5, 7]}")) == {3, 5, 7}


def test_same_seed_gives_the_same_trials() -> None:
    space = spec_of().space
    first, again = (
        [sample_values(space, generator) for _ in range(20)]
        for generator in (random.Random(3), random.Random(3))
    )
    assert first == again
    assert first != [sample_values(space, random.Random(4)) for _ in range(20)]


@pytest.mark.slow
@given(seed=st.integers(0, 10**6))
def test_values_are_those_of_the_active_leaves(seed: int) -> None:
    spec = spec_of()
    values = sample_values(spec.space, random.Random(seed))
    active = {leaf.path for leaf in spec.space.leaves if leaf.is_active(values)}
    assert set(values) == active
    for leaf in spec.space.leaves:
        if leaf.path in values and isinstance(leaf.distribution, Choice):
            assert values[leaf.path] in leaf.distribution.options
    spec.trial_config(values)  # raises if it is not valid
