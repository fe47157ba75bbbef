from __future__ import annotations

import numpy as np
import pytest

from tests.engine.make_search import make_spec
from tunebox.decisions.cube import INACTIVE, Cube
from tunebox.spec.space import Space, Values
from tunebox.spec.yaml_source import parse_yaml

CHOICES = """\
unordered: {choice: [a, b, c]}
ordered: {choice: [8, 1, 2]}
flag: {choice: [true, false]}
count: {int_uniform: [1, 5]}
power: {log_int_uniform: [4, 64]}
rate: {log_uniform: [0.01, 1.0]}
"""


def space_of(text: str) -> Space:
    source = parse_yaml(text, "made.yaml")
    return Space(source.data, source)


def features_of(cube: Cube, values: Values) -> list[float]:
    return [float(x) for x in cube.features(cube.quantiles(values)[None])[0]]


def test_features_are_places_in_ranges_ranks_and_options() -> None:
    cube = Cube(space_of(CHOICES))
    values: Values = {
        **{"unordered": "b", "ordered": 2, "flag": False},
        **{"count": 2, "power": 16, "rate": 0.1},
    }
    expected = [0, 1, 0, 0.5, 1, 0.25, 0.5, 0.5]
    assert features_of(cube, values) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_settings_come_back_from_their_quantiles(seed: int) -> None:
    for space in (space_of(CHOICES), make_spec().space):
        cube = Cube(space)
        for row in cube.random(np.random.default_rng(seed), 30, {}):
            values = cube.settings(row, {})
            known = cube.quantiles(values)
            again = cube.settings(np.nan_to_num(known), {})
            assert again == {path: pytest.approx(value) for path, value in values.items()}
            np.testing.assert_allclose(cube.features(known[None]), cube.features(row[None]))


def test_what_branches_have_in_common_shares_features() -> None:
    cube = Cube(make_spec().space)
    common: Values = {"model/width": 8, "model/depth": 2, "optimizer/lr": 0.1}
    common["optimizer/momentum"] = 0.9
    noise: Values = {"losses": "noisy_only", "losses/noisy_only/noise/std": 0.3}
    noisy = features_of(cube, {**common, **noise})
    stable: Values = {"losses": "stability", "losses/stability/noise/std": 0.3}
    stable["losses/stability/stability/weight"] = 1.0
    both = list(zip(noisy, features_of(cube, {**common, **stable}), strict=True))
    assert sum(a != b for a, b in both) == 3  # two options of the branch, and the weight
    assert both.count((0.3, 0.3)) == 1
    clean = features_of(cube, {**common, "losses": "clean_only"})
    assert clean.count(INACTIVE) >= 2


def test_neighbours_are_settings_near_their_parents() -> None:
    space, generator = make_spec().space, np.random.default_rng(0)
    cube = Cube(space)
    parent: Values = {"model/width": 16, "model/depth": 2, "optimizer/lr": 0.03}
    parent |= {
        "optimizer/momentum": 0.5,
        "losses": "noisy_only",
        "losses/noisy_only/noise/std": 0.3,
    }
    given = {"model/depth": 3}
    parents = np.repeat(cube.quantiles(parent)[None], 200, axis=0)
    children = cube.neighbours(generator, parents, (-3.0, -1.0), given)
    settings = [cube.settings(row, given) for row in children]
    for values in settings:
        assert {leaf.path for leaf in space.leaves if leaf.is_active(values)} == set(values)
    assert {values["model/depth"] for values in settings} == {3}
    assert {values["losses"] for values in settings} == {"clean_only", "noisy_only", "stability"}
    rates = np.log10([float(values["optimizer/lr"] or 0) / 0.03 for values in settings])
    assert 0 < np.median(np.abs(rates)) < 0.3
    # a branch that has the same setting keeps its value
    kept = [v["losses/stability/noise/std"] for v in settings if v["losses"] == "stability"]
    assert np.median(np.abs(np.array(kept, dtype=float) - 0.3)) < 0.05
