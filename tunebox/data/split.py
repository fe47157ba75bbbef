"""Divisions of a data set in which every class keeps its share."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tunebox.errors import DataError


def stratified_split(
    labels: Tensor, fraction: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return the indices of the rest and of a part that holds ``fraction`` of every class.

    Both parts get at least one image of each class; for the rest the sizes are as near to
    proportional as whole images allow.

    Args:
        labels: ``(N,)``, int64.
        fraction: Share of the second part, in (0, 1).
        generator: On the CPU; the same state gives the same division.

    Returns:
        Two sorted index tensors, ``(N - M,)`` and ``(M,)``.

    Raises:
        DataError: A class has a single image.
    """
    classes, counts = _classes_and_counts(labels)
    if counts.min() < 2:
        lonely = classes[int(counts.argmin())]
        raise DataError(f"class {lonely} has one image only: give at least 2 images of each class")
    sizes = _proportional_sizes(counts, round(fraction * len(labels)))
    return _draw(labels, classes, np.minimum(np.maximum(sizes, 1), counts - 1), generator)


def stratified_subset(labels: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Return the sorted indices ``(size,)`` of a subset in which every class keeps its share.

    Args:
        labels: ``(N,)``, int64.
        size: At least the number of classes in ``labels``, at most N.
        generator: On the CPU; the same state gives the same subset.

    Raises:
        DataError: ``size`` is out of these bounds.
    """
    classes, counts = _classes_and_counts(labels)
    if not len(classes) <= size <= len(labels):
        raise DataError(
            f"data/train_images is {size}: it must be at least {len(classes)} (one image of each "
            f"class) and at most {len(labels)} (the images left after validation)"
        )
    sizes = _proportional_sizes(counts, size)
    while (sizes == 0).any():  # a rare class gets its image from the class that has most
        sizes[sizes.argmax()] -= 1
        sizes[sizes.argmin()] += 1
    return _draw(labels, classes, sizes, generator)[1]


def stratified_folds(labels: Tensor, num_folds: int, generator: torch.Generator) -> list[Tensor]:
    """Return the sorted indices of ``num_folds`` parts among which every class is spread evenly.

    Each image is in one part. The sizes of the parts differ by at most one image, and so do those
    of a class in them.

    Args:
        labels: ``(N,)``, int64.
        num_folds: At least 2.
        generator: On the CPU; the same state gives the same division.

    Raises:
        DataError: A class has fewer than ``num_folds`` images.
    """
    classes, counts = _classes_and_counts(labels)
    if counts.min() < num_folds:
        raise DataError(
            f"class {classes[int(counts.argmin())]} has {counts.min()} image(s), fewer than the "
            f"{num_folds} folds: give it more, or lower evaluation/cross_validation to "
            f"{counts.min()} (at least 2)"
        )
    labels = labels.cpu()
    members = [torch.nonzero(labels == label).flatten() for label in classes.tolist()]
    # one class after the other is dealt out, so that no fold gets all the images that are over
    order = torch.cat([own[torch.randperm(len(own), generator=generator)] for own in members])
    return [order[fold::num_folds].sort().values for fold in range(num_folds)]


def _classes_and_counts(labels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    classes, counts = np.unique(labels.cpu().numpy(), return_counts=True)
    return classes, counts


def _proportional_sizes(counts: np.ndarray, total: int) -> np.ndarray:
    """Return whole sizes that sum to ``total``, by the largest remainder."""
    exact = counts * (total / counts.sum())
    sizes: np.ndarray = np.floor(exact).astype(np.int64)
    neediest = np.argsort(sizes - exact, kind="stable")
    sizes[neediest[: total - sizes.sum()]] += 1
    return sizes


def _draw(
    labels: Tensor, classes: np.ndarray, sizes: np.ndarray, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    labels = labels.cpu()
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label, size in zip(classes.tolist(), sizes.tolist(), strict=True):
        members = torch.nonzero(labels == label).flatten()
        order = torch.randperm(len(members), generator=generator)
        chosen[members[order[:size]]] = True
    return torch.nonzero(~chosen).flatten(), torch.nonzero(chosen).flatten()
