"""The three parts of a data set: train and validation together, test apart."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tunebox.data.image_set import ImageSet
from tunebox.data.label_noise import with_label_noise
from tunebox.data.settings import DataSettings, SplitPart
from tunebox.data.split import stratified_folds, stratified_split, stratified_subset
from tunebox.data.stored_set import AnyImageSet, StoredSet
from tunebox.errors import DataError


@dataclass(frozen=True)
class TrainingParts:
    """What a search may see, in memory."""

    train: ImageSet
    validation: ImageSet


@dataclass(frozen=True)
class OpenedParts:
    """What a search may see, in memory or in files."""

    train: AnyImageSet
    validation: AnyImageSet

    @property
    def num_bytes(self) -> int:
        """Bytes of the images that are in files."""
        return sum(
            part.num_bytes for part in (self.train, self.validation) if isinstance(part, StoredSet)
        )

    def resident(self) -> TrainingParts:
        """Return all images in memory, on the devices of their labels."""
        return TrainingParts(_resident(self.train), _resident(self.validation))

    def to(self, device: torch.device | str) -> OpenedParts:
        """Return the same images on ``device``; those in files come to it when they are read."""
        return OpenedParts(self.train.to(device), self.validation.to(device))


def open_training_parts(settings: DataSettings) -> OpenedParts:
    """Return the training and the validation set, on the CPU, in memory or in files.

    The division depends on ``split_seed``, unless the authors of the data chose the validation
    images. Which images are validation images does not depend on ``train_images``. The labels of
    the training set alone are changed by ``label_noise``.

    Raises:
        DataError: Files are absent or damaged, or ``train_images`` or ``label_noise``
            does not fit the data.
    """
    generator = torch.Generator().manual_seed(settings.split_seed)
    rest = _open_part(settings, "train", generator)
    if rest.is_validation is None:
        train, validation = stratified_split(rest.labels, settings.validation_fraction, generator)
    else:
        train, validation = ((rest.is_validation == part).nonzero()[:, 0] for part in (False, True))
    if settings.train_images is not None:
        subset = stratified_subset(rest.labels[train], settings.train_images, generator)
        train = train[subset]
    return _selected(rest, train, validation, settings)


def open_folds(settings: DataSettings, num_folds: int) -> list[OpenedParts]:
    """Return the parts of each fold of a cross-validation, on the CPU.

    The images that are not in the test set, or ``train_images`` of them, are divided into
    ``num_folds`` folds by ``split_seed``. Each fold is the validation set once, and the others
    are the training set then. The labels of the training sets alone are changed by ``label_noise``.

    Raises:
        DataError: As in `open_training_parts`; or the authors of the data chose the validation
            images, or a class has fewer images than there are folds.
    """
    generator = torch.Generator().manual_seed(settings.split_seed)
    rest = _open_part(settings, "train", generator)
    if rest.is_validation is not None:
        raise DataError(
            "evaluation/cross_validation needs data without a validation set of their own, which "
            "these have: leave it out, or turn that part into train images"
        )
    images = torch.arange(len(rest))
    if settings.train_images is not None:
        images = stratified_subset(rest.labels, settings.train_images, generator)
    folds = [images[fold] for fold in stratified_folds(rest.labels[images], num_folds, generator)]
    return [
        _selected(
            rest, torch.cat([*folds[:held], *folds[held + 1 :]]).sort().values, fold, settings
        )
        for held, fold in enumerate(folds)
    ]


def _selected(
    images: AnyImageSet, train: Tensor, validation: Tensor, settings: DataSettings
) -> OpenedParts:
    """Return the parts with these indices; the training set gets its wrong labels."""
    train_part = images.select(train)
    if settings.label_noise is not None:
        train_part = with_label_noise(train_part, settings.label_noise, settings.split_seed)
    return OpenedParts(train_part, images.select(validation))


def load_training_parts(settings: DataSettings) -> TrainingParts:
    """Return what `open_training_parts` does, in memory."""
    return open_training_parts(settings).resident()


def open_test_part(settings: DataSettings) -> AnyImageSet:
    """Return the test set, on the CPU. For final evaluations: nothing that selects may see it.

    The same for every ``validation_fraction`` and ``train_images``.

    Raises:
        DataError: Files are absent or damaged.
    """
    return _open_part(settings, "test", torch.Generator().manual_seed(settings.split_seed))


def load_test_part(settings: DataSettings) -> ImageSet:
    """Return what `open_test_part` does, in memory."""
    return _resident(open_test_part(settings))


def _resident(images: AnyImageSet) -> ImageSet:
    return images.resident() if isinstance(images, StoredSet) else images


def _open_part(settings: DataSettings, part: SplitPart, generator: torch.Generator) -> AnyImageSet:
    settings.prepare()
    images = settings.open(part)
    if settings.seeded_test_fraction is None:
        return images
    chosen = images.is_validation
    is_free = torch.ones(len(images), dtype=torch.bool) if chosen is None else ~chosen
    free = is_free.nonzero()[:, 0]
    # The first draw from the generator, so that nothing but the seed decides what is test.
    _, places = stratified_split(images.labels[free], settings.seeded_test_fraction, generator)
    is_test = torch.zeros(len(images), dtype=torch.bool)
    is_test[free[places]] = True
    indices = (is_test == (part == "test")).nonzero()[:, 0]
    return replace(
        images.select(indices), is_validation=None if chosen is None else chosen[indices]
    )
