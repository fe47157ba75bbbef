"""Wrong labels, on purpose.

Shapes: N images, C classes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tunebox.data.settings import LabelNoiseSettings
from tunebox.data.stored_set import AnyImageSet
from tunebox.errors import DataError


def with_label_noise(images: AnyImageSet, settings: LabelNoiseSettings, seed: int) -> AnyImageSet:
    """Return the same images, of which a share of each class has a wrong label.

    Of n images of a class ``round(rate * n)`` are changed, always to another class. With one seed
    a higher rate changes all the labels that a lower one changes, to the same classes.

    Args:
        images: On the CPU; not changed.
        settings: Kind and rate of the noise, and its seed.
        seed: Used if the settings have no seed.

    Raises:
        DataError: There is one class only.
    """
    num_classes = images.num_classes
    if num_classes < 2:
        raise DataError("data/label_noise needs at least 2 classes, the data set has 1")
    # the second number keeps the draws apart from those of other uses of the same seed
    random = np.random.default_rng([seed if settings.seed is None else settings.seed, 1])
    labels = images.labels.numpy()
    order = random.permutation(len(labels))
    steps = random.integers(1, num_classes, len(labels))  # to another class, all alike
    if settings.kind == "asymmetric":
        steps[:] = 1
    wrong = (labels + steps) % num_classes
    changed = labels.copy()
    for label in range(num_classes):
        members = order[labels[order] == label]
        chosen = members[: round(settings.rate * len(members))]
        changed[chosen] = wrong[chosen]
    return replace(images, labels=torch.from_numpy(changed))
