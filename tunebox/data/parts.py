"""The three parts of a data set: train and validation together, test apart."""

from dataclasses import dataclass
from typing import Literal

import torch

from tunebox.data.check import prepare_data
from tunebox.data.digits import load_digits
from tunebox.data.image_folder import has_test_folder, load_image_folder
from tunebox.data.image_set import ImageSet
from tunebox.data.settings import DataSettings, DigitsSettings, TorchvisionSettings
from tunebox.data.split import stratified_split, stratified_subset
from tunebox.data.torchvision_sets import load_torchvision_set


@dataclass(frozen=True)
class TrainingParts:
    """What a search may see."""

    train: ImageSet
    validation: ImageSet


def load_training_parts(settings: DataSettings) -> TrainingParts:
    """Return the train and the validation part, on the CPU.

    The division depends on ``split_seed``; which images are validation images does not depend
    on ``train_images``.

    Raises:
        DataError: Files are absent or damaged, or ``train_images`` does not fit the data.
    """
    generator = torch.Generator().manual_seed(settings.split_seed)
    rest = _load_part(settings, "train", generator)
    train, validation = stratified_split(rest.labels, settings.validation_fraction, generator)
    if settings.train_images is not None:
        subset = stratified_subset(rest.labels[train], settings.train_images, generator)
        train = train[subset]
    return TrainingParts(rest.select(train), rest.select(validation))


def load_test_part(settings: DataSettings) -> ImageSet:
    """Return the test part, on the CPU. For final evaluations: nothing that selects may see it.

    The same for every ``validation_fraction`` and ``train_images``.

    Raises:
        DataError: Files are absent or damaged.
    """
    return _load_part(settings, "test", torch.Generator().manual_seed(settings.split_seed))


def _load_part(
    settings: DataSettings, part: Literal["train", "test"], generator: torch.Generator
) -> ImageSet:
    prepare_data(settings)
    if isinstance(settings, TorchvisionSettings):
        return load_torchvision_set(settings, part)
    if isinstance(settings, DigitsSettings):
        whole = load_digits()
    elif has_test_folder(settings):
        return load_image_folder(settings, part)
    else:
        whole = load_image_folder(settings, "train")
    # The first draw from the generator, so that nothing but the seed decides what is test.
    rest, test = stratified_split(whole.labels, settings.test_fraction, generator)
    return whole.select(rest if part == "train" else test)
