"""A model under the common corruptions, made here or read from files in the layout of CIFAR-10-C.

[Hendrycks2019] D. Hendrycks and T. Dietterich. Benchmarking Neural Network Robustness to Common
    Corruptions and Perturbations. ICLR 2019. arXiv 1903.12261.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from tunebox.data.image_set import ImageSet
from tunebox.data.stored_set import AnyImageSet
from tunebox.errors import DataError, reading
from tunebox.models.base import Classifier
from tunebox.noise.corruptions import COMMON, NAMES, OF_COLOR, SEVERITIES, CorruptionSettings
from tunebox.training.evaluate import accuracy_and_loss, clean_batches, noisy_batches
from tunebox.training.robustness_row import RobustnessRow

LABELS_FILE = "labels.npy"
FILE_SUFFIX = "_file"  # of the names of corruptions that are read
_BATCH_SIZE = 512


class CorruptionRow(Protocol):
    """What the mean errors are made of; see `RobustnessRow`."""

    @property
    def perturbation(self) -> str:
        """Name of the corruption."""

    @property
    def strength_name(self) -> str:
        """``severity``, unless the row is of something else."""

    @property
    def accuracy(self) -> float:
        """Share of correct predictions."""


def corruption_rows(model: Classifier, test: AnyImageSet, seed: int) -> list[RobustnessRow]:
    """Return a row for each corruption and severity; those of colours need three channels."""
    has_colors = test.image_shape[0] == 3
    rows = []
    for name in NAMES:
        if name in OF_COLOR and not has_colors:
            continue
        for severity in SEVERITIES:
            noise = CorruptionSettings.model_validate({"kind": name, "severity": severity})
            batches = noisy_batches(
                test, noise.build(), seed=seed, num_draws=1, batch_size=_BATCH_SIZE
            )
            measured = accuracy_and_loss(model, batches)
            rows.append(RobustnessRow(name, "severity", float(severity), *measured))
    return rows


def corruption_file_rows(
    model: Classifier, folder: Path, image_shape: tuple[int, int, int]
) -> list[RobustnessRow]:
    """Return a row for each file of corrupted images and each severity in it.

    Args:
        model: On any device.
        folder: In the layout of CIFAR-10-C: ``<corruption>.npy``, uint8, ``(5 N, H, W, C)`` or
            ``(5 N, H, W)``, severity after severity, and ``labels.npy``, ``(5 N,)``.
        image_shape: Channels, height and width that the images must have.

    Raises:
        DataError: A file is absent or damaged, or its images are not those of the model.
    """
    labels = _array(folder / LABELS_FILE)
    files = sorted(path for path in folder.glob("*.npy") if path.name != LABELS_FILE)
    if not files:
        raise DataError(f"{folder} has no file of corrupted images, such as fog.npy")
    return [row for path in files for row in _rows_of(model, path, labels, image_shape)]


def _rows_of(
    model: Classifier, path: Path, labels: NDArray[np.generic], image_shape: tuple[int, int, int]
) -> list[RobustnessRow]:
    images = _image_set(path, _array(path), labels, image_shape, model.head.out_features)
    per_severity = len(images) // len(SEVERITIES)
    rows = []
    for number, severity in enumerate(SEVERITIES):
        places = torch.arange(number * per_severity, (number + 1) * per_severity)
        part = images.select(places).to(model.mean.device)
        measured = accuracy_and_loss(model, clean_batches(part, _BATCH_SIZE))
        rows.append(
            RobustnessRow(f"{path.stem}{FILE_SUFFIX}", "severity", float(severity), *measured)
        )
    return rows


def _image_set(
    path: Path,
    pixels: NDArray[np.generic],
    labels: NDArray[np.generic],
    image_shape: tuple[int, int, int],
    num_classes: int,
) -> ImageSet:
    channels, height, width = image_shape
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (height, width, channels):
        raise DataError(
            f"{path} has {pixels.dtype} {pixels.shape}, expected uint8 (images, {height}, {width}, "
            f"{channels})"
        )
    if labels.shape != pixels.shape[:1] or len(labels) == 0 or len(labels) % len(SEVERITIES):
        raise DataError(
            f"{path} has {len(pixels)} images and {path.with_name(LABELS_FILE)} {labels.shape}; "
            "expected as many labels as images, a multiple of 5"
        )
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= num_classes:
        raise DataError(
            f"{path.with_name(LABELS_FILE)}: expected whole numbers from 0 to {num_classes - 1}"
        )
    images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
    return ImageSet(images, torch.from_numpy(labels.astype(np.int64)), num_classes)


def _array(path: Path) -> NDArray[np.generic]:
    if not path.is_file():
        raise DataError(f"{path} is missing; the layout is that of CIFAR-10-C")
    with reading(path, DataError):
        array: NDArray[np.generic] = np.load(path, mmap_mode="r", allow_pickle=False)
        return array


def mean_errors(rows: Sequence[CorruptionRow], suffix: str = "") -> dict[str, float]:
    """Return the mean error over the 15 common corruptions, and over all, each at 5 severities.

    Not divided by the errors of a reference model: compare it with values of the same kind alone.

    Args:
        rows: Rows of corruptions.
        suffix: What follows the names of corruptions in them.
    """
    errors = _errors(rows, suffix)
    common = [np.mean(error) for name, error in errors.items() if name in COMMON]
    means = {"mean_corruption_error_all": float(np.mean([np.mean(e) for e in errors.values()]))}
    return ({"mean_corruption_error": float(np.mean(common))} if common else {}) | means


def normalized_errors(
    rows: Sequence[CorruptionRow], reference: Sequence[CorruptionRow]
) -> dict[str, float]:
    """Return the mean corruption error, divided by a reference model's, over what both have.

    ``mean_corruption_error_normalized`` is the mean over corruptions of the sum of the errors over
    all severities, divided by that of the reference; ``.._relative`` subtracts the errors on clean
    images from both before [Hendrycks2019]. A quotient by 0 is left out.

    Args:
        rows: Of the model, with its ``clean`` row.
        reference: Of the other model, likewise.
    """
    (own, own_clean), (other, other_clean) = (
        (_errors(given), 1 - next(row.accuracy for row in given if row.perturbation == "clean"))
        for given in (rows, reference)
    )
    shared = [name for name in COMMON if name in own and name in other]
    forms = {"normalized": (0.0, 0.0), "relative": (own_clean, other_clean)}
    found = {}
    for form, (clean, clean_other) in forms.items():
        pairs = [
            (sum(error - clean for error in own[n]), sum(error - clean_other for error in other[n]))
            for n in shared
        ]
        if pairs and all(divisor > 0 for _, divisor in pairs):
            quotients = [error / divisor for error, divisor in pairs]
            found[f"mean_corruption_error_{form}"] = sum(quotients) / len(quotients)
    return found


def _errors(rows: Sequence[CorruptionRow], suffix: str = "") -> dict[str, list[float]]:
    names = dict.fromkeys(row.perturbation for row in rows if row.strength_name == "severity")
    return {
        name.removesuffix(suffix): [1 - row.accuracy for row in rows if row.perturbation == name]
        for name in names
    }
