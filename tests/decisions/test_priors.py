"""Settings near a value that a person expects to be good, and how a search gets away from it."""

from __future__ import annotations

import numpy as np
import pytest

from tunebox.decisions.cube import Cube
from tunebox.decisions.gp_sampler import GpSampler
from tunebox.decisions.points import PointSampler
from tunebox.decisions.priors import by_prior, log_prior
from tunebox.pareto.objectives import FloatArray
from tunebox.spec.sample import quantile_of, value_at
from tunebox.spec.space import Leaf, Space, Values
from tunebox.spec.yaml_source import parse_yaml

EVENLY = (np.arange(20_000) + 0.5) / 20_000


def space_of(text: str) -> Space:
    source = parse_yaml(text, "made.yaml")
    return Space(source.data, source)


def leaf_of(text: str) -> Leaf:
    (leaf,) = space_of(f"x: {text}").leaves
    return leaf


@pytest.mark.parametrize(
    "text",
    [
        "{uniform: [0, 10], prior: {center: 2, confidence: low}}",
        "{log_uniform: [1e-4, 1], prior: {center: 0.1, confidence: high}}",
        "{int_uniform: [1, 8], prior: {center: 8}}",
        "{choice: [a, b, c], prior: {center: b}}",
        "{choice: [a, b], prior: {center: b, confidence: low}}",
    ],
)
def test_what_is_drawn_has_the_density_of_the_prior(text: str) -> None:
    leaf = leaf_of(text)
    quantiles = by_prior(leaf, EVENLY)
    assert ((quantiles >= 0) & (quantiles < 1)).all()
    # the share of draws below a quantile is the integral of the density up to it
    density = np.exp(log_prior(leaf, EVENLY))
    below = np.cumsum(density) / density.sum()
    drawn = np.searchsorted(np.sort(quantiles), EVENLY) / len(quantiles)
    np.testing.assert_allclose(drawn, below, atol=2e-3)
    assert log_prior(leaf, np.array([quantile_of_center(leaf)]))[0] == pytest.approx(0, abs=1e-9)


def quantile_of_center(leaf: Leaf) -> float:
    assert leaf.prior is not None
    return quantile_of(leaf.distribution, leaf.prior.center)


def test_an_expected_option_has_three_of_four_draws() -> None:
    leaf = leaf_of("{choice: [a, b, c], prior: {center: b, confidence: medium}}")
    values = [value_at(leaf.distribution, float(q)) for q in by_prior(leaf, EVENLY)]
    shares = [values.count(option) / len(values) for option in ("a", "b", "c")]
    np.testing.assert_allclose(shares, [0.125, 0.75, 0.125], atol=1e-3)
    ratio = np.exp(log_prior(leaf, np.array([0.1])) - log_prior(leaf, np.array([0.5])))
    np.testing.assert_allclose(ratio, 0.125 / 0.75)


def test_first_trials_are_near_the_centre() -> None:
    space = space_of("x: {uniform: [0, 1], prior: {center: 0.8, confidence: high}}")
    points = [PointSampler("qmc", space, 0).settings(n, {})["x"] for n in range(16)]
    away = np.abs(np.array(points, dtype=float) - 0.8)
    assert np.median(away) < 0.125
    assert away.max() < 0.6


def test_leaves_of_other_branches_have_no_say() -> None:
    space = space_of(
        "b:\n  choice:\n    one: {x: {uniform: [0, 1], prior: {center: 0.9}}}\n    two: {y: 1}\n"
    )
    cube = Cube(space)
    here: Values = {"b": "one", "b/one/x": 0.1}
    there: Values = {"b": "two"}
    weights = cube.log_prior(np.stack([cube.quantiles(values) for values in (here, there)]))
    assert weights[0] < -1
    assert weights[1] == 0


LINE = "x: {uniform: [0.0, 1.0], prior: {center: 0.9, confidence: high}}\ny: {uniform: [0.0, 1.0]}"


def bowl(values: Values, best: float) -> FloatArray:
    x, y = float(values["x"] or 0), float(values["y"] or 0)
    return np.array([(x - best) ** 2 + (y - 0.7) ** 2, (x - best) ** 2 + (y - 0.6) ** 2])


def searched(text: str, best: float, count: int) -> list[float]:
    sampler = GpSampler(space_of(text), (1, 2), np.full(2, 2.0), seed=0)
    asked = []
    for number in range(count):
        name = f"{number}"
        values = sampler.ask(name)
        sampler.adopt(name, values)
        for epoch in (1, 2):
            sampler.tell(name, epoch, bowl(values, best) + 1 / epoch)
        sampler.end(name, failed=False)
        asked.append(float(values["x"] or 0))
    return asked


@pytest.mark.slow
def test_a_wrong_prior_is_overcome() -> None:
    asked = np.array(searched(LINE, best=0.2, count=40))
    assert np.median(np.abs(asked[:10] - 0.9)) < 0.2
    assert np.median(np.abs(asked[-10:] - 0.2)) < 0.15


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ("0.5", "x/prior: needs {center: a good value, confidence: low, medium or high}, got 0.5"),
        ("{confidence: low}", "x/prior: needs {center: a good value"),
        ("{center: 0.5, width: 1}", "x/prior: needs {center: a good value"),
        ("{center: 1.5}", "x/prior/center: got 1.5, outside uniform"),
        ("{center: 0.5, confidence: 0.9}", "x/prior/confidence: needs low, medium, high, got 0.9"),
    ],
)
def test_a_bad_prior_is_one_line(prior: str, message: str) -> None:
    with pytest.raises(Exception, match=r"^[^\n]*$") as error:
        leaf_of(f"{{uniform: [0, 1], prior: {prior}}}")
    assert message in str(error.value)
