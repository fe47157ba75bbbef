"""A model under attacks, and the accuracy that randomised smoothing guarantees.

[Croce2020] F. Croce and M. Hein. Reliable evaluation of adversarial robustness with an ensemble of
    diverse parameter-free attacks. ICML 2020. arXiv 2003.01690.
"""

from __future__ import annotations

import numpy as np

from tunebox.data.stored_set import AnyImageSet
from tunebox.metrics.apgd import ApgdSettings
from tunebox.metrics.certified import CertifiedSettings
from tunebox.metrics.pgd import PgdSettings
from tunebox.metrics.settings import Norm
from tunebox.models.base import Classifier
from tunebox.training.evaluate import batches_of, measured
from tunebox.training.precision import evaluation_mode, full_float32
from tunebox.training.robustness_row import RobustnessRow

_BATCH_SIZE = 512
_PGD_STEPS, _APGD_STEPS = 20, 50
_TARGETS = 9  # of APGD [Croce2020]
_EPSILONS: dict[Norm, tuple[float, ...]] = {
    "linf": (1 / 255, 2 / 255, 4 / 255, 8 / 255),
    "l2": (0.125, 0.25, 0.5, 1.0),
}
_RADII = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)  # in standard deviations of the noise


def attack_rows(
    model: Classifier, test: AnyImageSet, seed: int, images: int
) -> list[RobustnessRow]:
    """Return rows under PGD with 20 steps and APGD with 50, in L-inf and L2.

    APGD is the worst of the attack on cross-entropy and of those towards nine other classes.

    Args:
        model: On the device of the images.
        test: The part that the images are taken from, evenly.
        seed: Random seed of the starts.
        images: How many are attacked.
    """
    rows = []
    for norm, epsilons in _EPSILONS.items():
        for epsilon in epsilons:
            pgd = PgdSettings(
                kind="pgd", norm=norm, epsilon=epsilon, steps=_PGD_STEPS, images=images
            )
            values = measured(model, test, pgd, seed=seed, batch_size=_BATCH_SIZE)
            found = values["pgd_accuracy"], values["pgd_loss"]
            rows.append(RobustnessRow(f"pgd_{norm}", "epsilon", epsilon, *found))
        for epsilon in epsilons:
            apgd = ApgdSettings(
                kind="apgd",
                norm=norm,
                epsilon=epsilon,
                steps=_APGD_STEPS,
                targets=_TARGETS,
                images=images,
            )
            values = measured(model, test, apgd, seed=seed, batch_size=_BATCH_SIZE)
            accuracy = values["apgd_accuracy"]
            rows.append(RobustnessRow(f"apgd_{norm}", "epsilon", epsilon, accuracy, None))
    return rows


def certified_rows(
    model: Classifier, test: AnyImageSet, *, seed: int, images: int, samples: int, std: float
) -> tuple[list[RobustnessRow], dict[str, float]]:
    """Return the certified accuracy at several radii, and numbers about the smoothed model.

    Args:
        model: On the device of the images.
        test: The part that the images are taken from, evenly.
        seed: Random seed of the noise.
        images: How many are certified.
        samples: Noisy copies of each for the bound; a tenth of them, 100 at most, choose the class.
        std: Standard deviation of the noise.
    """
    settings = CertifiedSettings(
        kind="certified",
        std=std,
        samples=samples,
        selection_samples=min(100, max(1, samples // 10)),
    )
    with evaluation_mode(model), full_float32(model.mean.device):
        smoothed = settings.smoothed(model, batches_of(test, images, _BATCH_SIZE), seed)
    radii = smoothed.radii
    rows = [
        RobustnessRow(
            "certified", "radius", share * std, float((radii >= share * std).mean()), None
        )
        for share in _RADII
    ]
    numbers = {
        "certified/average_radius": float(np.clip(radii, 0, None).mean()),
        "certified/smoothed_accuracy": float(smoothed.right.mean()),
        "certified/std": std,
        "certified/images": float(len(radii)),
        "certified/samples": float(samples),
    }
    return rows, numbers
