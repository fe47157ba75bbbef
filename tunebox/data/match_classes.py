"""Test images for a model whose classes may have another order than those of the data."""

from __future__ import annotations

from dataclasses import replace

import torch

from tunebox.data.stored_set import AnyImageSet
from tunebox.errors import DataError

_SHOWN = 8


def match_classes(
    images: AnyImageSet, num_classes: int, names: tuple[str, ...] | None
) -> tuple[AnyImageSet, list[str]]:
    """Return ``images`` with the labels of a model, and a line for each thing that is odd.

    Args:
        images: Images whose labels are numbers in the order of the data.
        num_classes: Outputs of the model.
        names: Class of each output of the model; None if it has no names.

    Raises:
        DataError: There are images of a class that the model does not know.
    """
    if names is None or images.class_names is None:
        if images.num_classes > num_classes:
            raise DataError(
                f"the test set has {images.num_classes} classes, the model {num_classes}; "
                "give it test images of the same classes"
            )
        whose = "the model" if names is None else "the data set"
        return images, [
            f"{whose} has no names of classes: they are matched by number, which goes wrong if a "
            "class was added, removed or renamed after the training"
        ]
    present = [images.class_names[label] for label in images.labels.unique().tolist()]  # type: ignore[no-untyped-call]
    unknown = [name for name in present if name not in names]
    missing = [name for name in names if name not in present]
    if unknown:
        without = f"; of {_listed(missing)} there is no image" if missing else ""
        raise DataError(
            f"the test set has classes that the model does not know: {_listed(unknown)}; it knows "
            f"{_listed(list(names))}{without}; give the classes the names that they had when the "
            "model was trained, or train again"
        )
    numbers = {name: number for number, name in enumerate(names)}
    to_model = torch.tensor([numbers.get(name, -1) for name in images.class_names])
    matched = replace(
        images,
        labels=to_model.to(images.labels.device)[images.labels],
        num_classes=num_classes,
        class_names=names,
    )
    note = f"the test set has no image of {_listed(missing)}: how often these are recognised is "
    return matched, [f"{note}not measured"] if missing else []


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
