from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tunebox.data.split import stratified_folds, stratified_split, stratified_subset
from tunebox.errors import DataError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shuffled_labels(counts: list[int]) -> Tensor:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return labels[torch.randperm(len(labels), generator=generator(9))]


def test_every_class_keeps_its_share() -> None:
    labels = shuffled_labels([100, 50, 10])
    rest, part = stratified_split(labels, 0.2, generator())
    assert torch.bincount(labels[part]).tolist() == [20, 10, 2]
    assert torch.bincount(labels[rest]).tolist() == [80, 40, 8]
    assert sorted([*rest.tolist(), *part.tolist()]) == list(range(160))


def test_uneven_sizes_still_sum_to_the_fraction() -> None:
    labels = shuffled_labels([33, 33, 34])
    _, part = stratified_split(labels, 0.1, generator())
    assert torch.bincount(labels[part]).tolist() == [3, 3, 4]


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_both_parts_get_an_image_of_each_class(fraction: float) -> None:
    labels = shuffled_labels([2, 3, 50])
    rest, part = stratified_split(labels, fraction, generator())
    assert set(labels[rest].tolist()) == set(labels[part].tolist()) == {0, 1, 2}


def test_seed_decides_and_the_global_generator_stays() -> None:
    labels = shuffled_labels([40, 40])
    before = torch.get_rng_state()
    first = stratified_split(labels, 0.5, generator())[1]
    assert torch.equal(first, stratified_split(labels, 0.5, generator())[1])
    assert not torch.equal(first, stratified_split(labels, 0.5, generator(1))[1])
    assert torch.equal(torch.get_rng_state(), before)


def test_single_image_of_a_class_is_refused() -> None:
    with pytest.raises(DataError, match="class 1 has one image only"):
        stratified_split(shuffled_labels([5, 1, 5]), 0.5, generator())


def test_subset_keeps_shares_and_rare_classes() -> None:
    labels = shuffled_labels([200, 97, 3])
    subset = stratified_subset(labels, 30, generator())
    assert len(subset) == len(set(subset.tolist())) == 30
    counts = torch.bincount(labels[subset]).tolist()
    assert sum(counts) == 30
    assert counts[2] >= 1
    assert abs(counts[0] - 20) <= 1
    tiny = stratified_subset(labels, 3, generator())
    assert sorted(labels[tiny].tolist()) == [0, 1, 2]


@pytest.mark.parametrize("size", [2, 301])
def test_impossible_subset_is_refused(size: int) -> None:
    labels = shuffled_labels([200, 97, 3])
    with pytest.raises(
        DataError, match=rf"data/train_images is {size}: .* least 3 .* at most 300 "
    ):
        stratified_subset(labels, size, generator())


@pytest.mark.parametrize("counts", [[10, 7, 3], [3, 3, 3], [1000, 3]])
def test_folds_are_apart_and_as_even_as_whole_images_allow(counts: list[int]) -> None:
    labels = shuffled_labels(counts)
    folds = stratified_folds(labels, 3, generator())
    assert sorted(index for fold in folds for index in fold.tolist()) == list(range(len(labels)))
    sizes = [len(fold) for fold in folds]
    of_classes = torch.stack(
        [torch.bincount(labels[fold], minlength=len(counts)) for fold in folds]
    )
    assert max(sizes) - min(sizes) <= 1
    assert int((of_classes.amax(0) - of_classes.amin(0)).max()) <= 1


def test_folds_depend_on_the_seed_alone() -> None:
    labels = shuffled_labels([20, 20])
    first, again, other = (stratified_folds(labels, 4, generator(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(one, same) for one, same in zip(first, again, strict=True))
    assert not all(torch.equal(one, same) for one, same in zip(first, other, strict=True))


def test_a_class_smaller_than_the_number_of_folds_is_refused() -> None:
    with pytest.raises(DataError, match=r"class 1 has 3 .*evaluation/cross_validation to 3"):
        stratified_folds(shuffled_labels([9, 3]), 4, generator())
