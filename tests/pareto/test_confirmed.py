"""What repeated trainings say about a front, against scipy, brute force and simulated truths."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from tests.pareto import brute_force
from tunebox.pareto.confirmed import (
    Means,
    alike_neighbours,
    front_of_means,
    front_shares,
    means_of,
    moderated_variances,
    next_trial,
    with_images,
    with_searched,
)
from tunebox.pareto.front import front_indices
from tunebox.pareto.objectives import FloatArray

NOISE = np.array([[0.36, 0.168], [0.168, 0.49]])


def simulated(generator: np.random.Generator, spread: float) -> tuple[FloatArray, list[FloatArray]]:
    """True means of 12 trials along a front, and 1 to 5 seeds of each.

    The standard deviation differs from trial to trial by factors of about ``exp(spread)``.
    """
    along = np.sort(generator.normal(0, 1, 12))
    truth = np.stack([along, -along], axis=1) + generator.normal(0, 0.5, (12, 2))
    scales = np.exp(generator.normal(0, spread, 12))
    seeds = [
        mean + scale * generator.multivariate_normal([0, 0], NOISE, generator.integers(1, 6))
        for mean, scale in zip(truth, scales, strict=True)
    ]
    return truth, seeds


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spread", "step"),
    [
        pytest.param(0.0, 0.0, id="one spread"),
        pytest.param(0.3, 0.0, id="several spreads"),
        pytest.param(0.0, 0.14, id="accuracy of 700 images"),
        pytest.param(0.2, 0.5, id="accuracy of 200 images"),
    ],
)
def test_intervals_cover_the_truth_of_simulated_fronts_as_often_as_they_say(
    spread: float, step: float
) -> None:
    generator = np.random.default_rng(1)
    covered, shares, on_front = [], list[float](), list[bool]()
    for _ in range(200):
        truth, seeds = simulated(generator, spread)
        if step:  # an accuracy is a whole number of images
            seeds = [np.round(costs / step) * step for costs in seeds]
        means = means_of(seeds)
        covered.append(np.abs(means.values - truth) <= means.half_widths())
        draws = means.draws(generator, 64)
        shares += front_shares(draws).tolist()
        on_front += [index in front_indices(truth) for index in range(12)]
    rates = np.mean(covered, axis=(0, 1))
    print(f"spread {spread}: means {rates}")
    assert ((rates >= 0.93) & (rates <= 0.97)).all()
    likely = np.array(shares) > 0.9
    assert np.mean(np.array(on_front)[likely]) > 0.85
    assert np.mean(np.array(on_front)[np.array(shares) < 0.1]) < 0.2


def test_a_trial_with_a_spread_of_its_own_has_the_interval_of_scipy() -> None:
    seeds = [np.random.default_rng(seed).normal(size=(4, 2)) for seed in range(5)]
    means = means_of(seeds, [True, False, False, False, False])
    low, high = stats.t.interval(0.95, 3, seeds[0].mean(axis=0), stats.sem(seeds[0]))
    np.testing.assert_allclose(means.values[0] - means.half_widths()[0], low)
    np.testing.assert_allclose(means.values[0] + means.half_widths()[0], high)


def test_variances_that_agree_are_pooled_and_those_of_many_seeds_are_left_alone() -> None:
    equal, df = moderated_variances(np.array([2.0, 2.0, 2.0, 9.9]), np.array([3, 3, 3, 0]))
    np.testing.assert_allclose(equal, 2.0)  # the last has one seed: it borrows from the others
    assert df.tolist() == [9, 9, 9, 9]
    apart = np.array([1.0, 100.0, 0.01, 5.0])
    many, many_df = moderated_variances(apart, np.full(4, 10_000))
    np.testing.assert_allclose(many, apart, rtol=0.01)
    assert (many_df >= 10_000).all()


def test_shrinking_brings_variances_nearer_to_the_true_ones() -> None:
    generator = np.random.default_rng(0)
    true = 4.0 / generator.chisquare(4, 400)  # the model of Smyth: 4 degrees, variance 1
    sample = true * generator.chisquare(2, 400) / 2
    shrunk, df = moderated_variances(sample, np.full(400, 2))
    assert np.mean(np.log(shrunk / true) ** 2) < 0.5 * np.mean(np.log(sample / true) ** 2)
    assert 4 < df[0] < 9  # 2 of its own and about 4 of the others


def test_nothing_is_known_of_the_spread_of_single_seeds() -> None:
    means = means_of([np.ones((1, 2)), np.zeros((1, 2)), np.zeros((0, 2))])
    assert np.isnan(means.errors).all()
    assert means.values[0].tolist() == [1, 1]
    assert np.isnan(means.values[2]).all()
    assert set(front_of_means(means)) == {1}


def test_shares_are_those_that_brute_force_counts() -> None:
    draws = np.random.default_rng(0).normal(size=(50, 6, 2)).round(1)  # with ties
    expected = [
        np.mean(
            [
                not any(brute_force.dominates(other, costs[index]) for other in costs)
                for costs in draws
            ]
        )
        for index in range(6)
    ]
    np.testing.assert_allclose(front_shares(draws), expected)
    draws[:, 2] = np.nan
    assert front_shares(draws)[2] == 0


def test_draws_have_the_errors_and_the_correlation_of_the_means() -> None:
    correlation = np.array([[[1, 0.5], [0.5, 1]]])
    means = Means(np.zeros((1, 2)), np.array([[1.0, 3.0]]), np.full((1, 2), 50.0), correlation)
    draws = means.draws(np.random.default_rng(0), 20_000)[:, 0]
    np.testing.assert_allclose(draws.std(axis=0), np.sqrt(50 / 48) * np.array([1, 3]), rtol=0.03)
    first, second = draws.T
    assert stats.pearsonr(first, second).statistic == pytest.approx(0.5, abs=0.03)


def test_neighbours_are_alike_unless_one_objective_tells_them_apart() -> None:
    values = np.array([[0.0, 3.0], [0.1, 2.9], [0.2, 0.0]])
    means = Means(values, np.full((3, 2), 0.3), np.full((3, 2), 8.0), np.tile(np.eye(2), (3, 1, 1)))
    assert alike_neighbours(means, [0, 1, 2]) == [(0, 1)]


def test_the_result_of_the_search_counts_as_a_seed_taken_back_by_the_mean_gap() -> None:
    searched = np.array([[1.0, 1.0], [2.0, 0.0], [np.nan, np.nan], [5.0, 5.0]])
    seeds = [np.array([[2.0, 3.0], [4.0, 3.0]]), np.array([[2.0, 1.0]]), np.ones((1, 2))]
    first, second, third, fourth = with_searched(searched, [*seeds, np.zeros((0, 2))])
    assert first[-1].tolist() == [2.0, 2.5]  # the gaps are (2, 2) and (0, 1)
    assert second.tolist() == [[2.0, 1.0], [3.0, 1.5]]
    assert third.tolist() == [[1.0, 1.0]]
    assert fourth.tolist() == [[6.0, 6.5]]


def chosen(searched: FloatArray, seeds: list[FloatArray], **options: object) -> int | None:
    known = {
        "planned": [len(costs) for costs in seeds],
        "most": 5,
        "is_sure": [True] * len(seeds),
        "generator": np.random.default_rng(0),
        **options,
    }
    return next_trial(searched, seeds, **known)  # type: ignore[arg-type]


def test_each_sure_trial_gets_a_seed_and_what_is_surely_off_the_front_no_second_one() -> None:
    generator = np.random.default_rng(0)
    truth = np.array([[0.0, 1.0], [1.0, 0.0], [0.1, 1.1], [9.0, 9.0]])
    searched = truth + generator.normal(0, 0.1, truth.shape)
    seeds = [np.zeros((0, 2)) for _ in truth]
    order = list[int]()
    while (index := chosen(searched, seeds)) is not None:
        order.append(index)
        seed = truth[index] + generator.normal(0, 0.1, 2)
        seeds[index] = np.vstack([seeds[index], seed])
    assert order[:4] == [0, 1, 2, 3]
    assert order.count(0) == order.count(1) == 5
    assert order.count(3) == 1
    assert chosen(searched, seeds, most=6) in (0, 1, 2)


def test_a_trial_that_is_not_sure_and_far_off_gets_no_seed_at_all() -> None:
    truth = np.array([[0.0, 1.0], [1.0, 0.0], [9.0, 9.0]])
    seeds = [truth[0] + np.array([[0.1, 0], [0, 0.1]]), truth[1] + np.array([[0.1, 0], [0, 0.1]])]
    others = {"is_sure": [True, True, False], "most": 2}
    assert chosen(truth, [*seeds, np.zeros((0, 2))], **others) is None
    near = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    assert chosen(near, [*seeds, np.zeros((0, 2))], **others) == 2


def test_seeds_that_have_not_ended_count_as_given() -> None:
    searched = np.array([[0.0, 1.0], [1.0, 0.0]])
    nothing = [np.zeros((0, 2)), np.zeros((0, 2))]
    assert chosen(searched, nothing, planned=[1, 0]) == 1
    assert chosen(searched, nothing, planned=[1, 1], most=1) is None


def test_trigamma_is_inverted() -> None:
    from tunebox.pareto.confirmed import _inverse_trigamma

    for x in (0.05, 1.0, 7.0, 400.0):
        assert _inverse_trigamma(float(special.polygamma(1, x))) == pytest.approx(x, rel=1e-6)


def test_an_interval_that_covers_images_too_holds_for_the_accuracy_on_all_images() -> None:
    """Images differ in how often they are right; all seeds of a set are measured on the same."""
    generator = np.random.default_rng(0)
    num_images, num_seeds, truth = 400, 4, 0.9
    covered, seeds_only = 0, 0
    for _ in range(600):
        chances = generator.beta(0.45, 0.05, num_images)  # of mean 0.9
        moves = generator.normal(0, 0.004, (num_seeds, 1))  # of a seed, on all images
        right = generator.random((num_seeds, num_images)) < np.clip(chances + moves, 0, 1)
        means = means_of([-right.mean(axis=1)[:, None]])
        gap = abs(float(means.values[0, 0]) + truth)
        seeds_only += gap <= float(means.half_widths()[0, 0])
        wide = with_images(means, [True], num_images)
        covered += gap <= float(wide.half_widths()[0, 0])
        other = with_images(means, [False], num_images)
        np.testing.assert_allclose(other.half_widths(), means.half_widths())
    assert 0.94 <= covered / 600 <= 0.995
    assert seeds_only / 600 < 0.9
