"""How a finished model stands many kinds of perturbation: a table over the test set.

[Nguyen2025] H.-V. Nguyen et al. Training More Robust Classification Model via Discriminative Loss
    and Gaussian Noise Injection. arXiv 2405.18499. The kinds of perturbation come from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tunebox.data.stored_set import AnyImageSet
from tunebox.metrics.accuracy import accuracy
from tunebox.metrics.catalogue import DEFAULT_COMPUTED
from tunebox.metrics.cross_entropy import cross_entropy
from tunebox.models.base import Classifier
from tunebox.noise.down_up import DownUpSettings
from tunebox.noise.gaussian import GaussianSettings
from tunebox.noise.patch_mask import PatchMaskSettings
from tunebox.noise.sequence import SequenceSettings
from tunebox.noise.settings import NoiseSettings
from tunebox.noise.uniform import UniformSettings
from tunebox.spec.training_settings import EvaluationSettings
from tunebox.training.attack_rows import attack_rows, certified_rows
from tunebox.training.correct_times import correct_times_numbers
from tunebox.training.corruption_rows import (
    FILE_SUFFIX,
    corruption_file_rows,
    corruption_rows,
    mean_errors,
)
from tunebox.training.curvature import curvature
from tunebox.training.evaluate import (
    Evaluator,
    accuracy_and_loss,
    accuracy_by_class,
    clean_batches,
    evenly,
    noisy_batches,
    predicted,
    values_of,
)
from tunebox.training.membership import membership_numbers
from tunebox.training.robustness_row import RobustnessRow

_BATCH_SIZE = 512
_SMOOTHING_STD = 0.25  # unless the search's own noise is normal
_NUM_PATCHES = 4
_GAUSSIAN_STDS = (0.02, 0.06, 0.12, 0.25, 0.5)
_UNIFORM_EPSILONS = (0.02, 0.06, 0.12, 0.25, 0.5)
_PATCH_SHARES = (1 / 8, 3 / 16, 1 / 4)  # of the shorter side: 4, 6 and 8 pixels of 32
_SCALES = (0.75, 0.5, 1 / 3)
_COMBINED_STD = 40 / 255


@dataclass(frozen=True)
class CurvatureSummary:
    """The distribution of the curvature over images, in normalised-input units."""

    num_images: int
    mean: float
    median: float
    quantile_05: float
    quantile_95: float


@dataclass(frozen=True)
class RobustnessReport:
    """What is known about a finished model.

    Attributes:
        rows: One for each perturbation and strength.
        curvature: Of the loss around images.
        numbers: Single numbers of what was included, by name.
        by_class: Accuracy on clean images, 0 to 1, by the name of the class; none for a class
            without an image.
    """

    rows: list[RobustnessRow]
    curvature: CurvatureSummary
    numbers: dict[str, float]
    by_class: dict[str, float]


@dataclass(frozen=True)
class Extras:
    """What is measured besides the usual rows.

    Attributes:
        parts: Any of `tunebox.metrics.catalogue.EXTRA_PARTS`.
        corruption_files: Folder in the layout of CIFAR-10-C, or None.
        images: How many images are attacked, and how many are certified.
        samples: Noisy copies of each image for its certificate.
        members: Images that the model was trained on, for ``membership``.
    """

    parts: tuple[str, ...] = ()
    corruption_files: Path | None = None
    images: int = 200
    samples: int = 1000
    members: AnyImageSet | None = None


def evaluate_robustness(
    model: Classifier,
    test: AnyImageSet,
    *,
    seed: int,
    device: torch.device | str,
    evaluation: EvaluationSettings | None = None,
    curvature_images: int = 512,
    extras: Extras | None = None,
) -> RobustnessReport:
    """Return accuracy and loss under every perturbation, and the curvature.

    Args:
        model: Moved to ``device``.
        test: All of it is perturbed, with one draw for each row.
        seed: Random seed of every row's noise and of the directions of the curvature.
        device: Where the work is done.
        evaluation: Settings of the search that the model comes from; its noise is the second row.
        curvature_images: How many images, taken evenly from ``test``, the curvature is measured
            at; it costs 21 gradients for each.
        extras: What else is measured; None for nothing.
    """
    model.to(device)
    test = test.to(device)
    predictions = predicted(model, clean_batches(test, _BATCH_SIZE))
    clean = values_of(predictions, [accuracy, cross_entropy])
    rows = [RobustnessRow("clean", "none", 0.0, *clean)]
    if evaluation is not None:
        # the rows need accuracy and loss, whichever metrics the search chose
        chosen = evaluation.model_copy(update={"metrics": list(DEFAULT_COMPUTED)})
        measured = Evaluator(test, chosen)(model)
        noisy = measured["noisy_accuracy"], measured["noisy_loss"]
        rows.append(RobustnessRow("search_noise", "none", 0.0, *noisy))
    for name, strength_name, strength, noise in _perturbations(test):
        batches = noisy_batches(test, noise.build(), seed=seed, num_draws=1, batch_size=_BATCH_SIZE)
        perturbed = accuracy_and_loss(model, batches)
        rows.append(RobustnessRow(name, strength_name, strength, *perturbed))
    few = evenly(test, curvature_images)
    curvatures = curvature(model, few, seed=seed).double()
    more = Extras() if extras is None else extras
    others, numbers = _extra_rows(model, test, more, seed, _smoothing_std(evaluation))
    if "correct_times" in more.parts:
        numbers |= correct_times_numbers(model, few, curvatures.numpy(), seed)
    by_class = accuracy_by_class(predictions, test.class_names)
    return RobustnessReport([*rows, *others], summarize_curvature(curvatures), numbers, by_class)


def _extra_rows(
    model: Classifier, test: AnyImageSet, extras: Extras, seed: int, std: float
) -> tuple[list[RobustnessRow], dict[str, float]]:
    rows: list[RobustnessRow] = []
    numbers: dict[str, float] = {}
    if "corruptions" in extras.parts:
        rows += corruption_rows(model, test, seed)
        numbers |= mean_errors(rows)
    if extras.corruption_files is not None:
        found = corruption_file_rows(model, extras.corruption_files, test.image_shape)
        rows += found
        errors = mean_errors(found, suffix=FILE_SUFFIX)
        numbers |= {f"{name}{FILE_SUFFIX}": value for name, value in errors.items()}
    if "attacks" in extras.parts:
        rows += attack_rows(model, test, seed, extras.images)
    if "certified" in extras.parts:
        certified, about = certified_rows(
            model, test, seed=seed, images=extras.images, samples=extras.samples, std=std
        )
        rows += certified
        numbers |= about
    if "membership" in extras.parts:
        assert extras.members is not None
        numbers |= membership_numbers(model, extras.members.to(test.device), test, seed)
    return rows, numbers


def _smoothing_std(evaluation: EvaluationSettings | None) -> float:
    noise = None if evaluation is None else evaluation.noise
    if isinstance(noise, GaussianSettings) and noise.std > 0:
        return noise.std
    return _SMOOTHING_STD


def summarize_curvature(curvatures: Tensor) -> CurvatureSummary:
    """Return the distribution of the curvatures of images, ``(N,)`` float64."""
    levels = curvatures.new_tensor([0.05, 0.5, 0.95])
    low, median, high = torch.quantile(curvatures, levels).tolist()
    return CurvatureSummary(len(curvatures), curvatures.mean().item(), median, low, high)


def _perturbations(test: AnyImageSet) -> list[tuple[str, str, float, NoiseSettings]]:
    """Return name, name of the strength, strength and settings of each row."""
    _, height, width = test.image_shape
    sizes = sorted({max(1, round(share * min(height, width))) for share in _PATCH_SHARES})
    table: list[tuple[str, str, float, NoiseSettings]] = []
    for std in _GAUSSIAN_STDS:
        table.append(("gaussian", "std", std, GaussianSettings(kind="gaussian", std=std)))
    for epsilon in _UNIFORM_EPSILONS:
        uniform = UniformSettings(kind="uniform", epsilon=epsilon)
        table.append(("uniform", "epsilon", epsilon, uniform))
    for size in sizes:
        table.append(("patch_mask", "size", size, _patches(size)))
    for scale in _SCALES:
        table.append(("down_up", "scale", scale, DownUpSettings(kind="down_up", scale=scale)))
    for size in sizes:
        steps: list[NoiseSettings] = [
            GaussianSettings(kind="gaussian", std=_COMBINED_STD),
            _patches(size),
        ]
        combined = SequenceSettings(kind="sequence", steps=steps)
        table.append(("gaussian_then_patch_mask", "size", size, combined))
    return table


def _patches(size: int) -> PatchMaskSettings:
    return PatchMaskSettings(kind="patch_mask", size=size, count=_NUM_PATCHES)
