"""The three parts of a data set: train and validation together, test apart."""

from dataclasses import dataclass, replace

import torch

from tunebox.data.image_set import ImageSet
from tunebox.data.label_noise import with_label_noise
from tunebox.data.settings import DataSettings, SplitPart
from tunebox.data.split import stratified_split, stratified_subset


@dataclass(frozen=True)
class TrainingParts:
    """What a search may see."""

    train: ImageSet
    validation: ImageSet


def load_training_parts(settings: DataSettings) -> TrainingParts:
    """Return the train and the validation part, on the CPU.

    The division depends on ``split_seed``, unless the authors of the data chose the validation
    images. Which images are validation images does not depend on ``train_images``. The labels of
    the train part alone are changed by ``label_noise``.

    Raises:
        DataError: Files are absent or damaged, or ``train_images`` or ``label_noise``
            does not fit the data.
    """
    generator = torch.Generator().manual_seed(settings.split_seed)
    rest = _load_part(settings, "train", generator)
    if rest.is_validation is None:
        train, validation = stratified_split(rest.labels, settings.validation_fraction, generator)
    else:
        train, validation = ((rest.is_validation == part).nonzero()[:, 0] for part in (False, True))
    if settings.train_images is not None:
        subset = stratified_subset(rest.labels[train], settings.train_images, generator)
        train = train[subset]
    train_part = rest.select(train)
    if settings.label_noise is not None:
        train_part = with_label_noise(train_part, settings.label_noise, settings.split_seed)
    return TrainingParts(train_part, rest.select(validation))


def load_test_part(settings: DataSettings) -> ImageSet:
    """Return the test part, on the CPU. For final evaluations: nothing that selects may see it.

    The same for every ``validation_fraction`` and ``train_images``.

    Raises:
        DataError: Files are absent or damaged.
    """
    return _load_part(settings, "test", torch.Generator().manual_seed(settings.split_seed))


def _load_part(settings: DataSettings, part: SplitPart, generator: torch.Generator) -> ImageSet:
    settings.prepare()
    images = settings.build(part)
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
