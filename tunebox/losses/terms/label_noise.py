"""Base losses for training sets in which some labels are wrong (`data/label_noise`).

[Ghosh2017] A. Ghosh, H. Kumar and P. S. Sastry. Robust Loss Functions under Label Noise for Deep
    Neural Networks. AAAI 2017.
[Lin2017] T.-Y. Lin et al. Focal Loss for Dense Object Detection. ICCV 2017.
[Ma2020] X. Ma et al. Normalized Loss Functions for Deep Learning with Noisy Labels. ICML 2020.
[Menon2020] A. K. Menon et al. Can gradient clipping mitigate label noise? ICLR 2020.
[Wang2019] Y. Wang et al. Symmetric Cross Entropy for Robust Learning with Noisy Labels. ICCV 2019.
[Zhang2018] Z. Zhang and M. Sabuncu. Generalized Cross Entropy Loss for Training Deep Neural
    Networks with Noisy Labels. NeurIPS 2018.
[Zhou2021] X. Zhou et al. Asymmetric Loss Functions for Learning with Noisy Labels. ICML 2021.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from tunebox.losses.settings import BaseLossSettings, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.losses.context import StepContext, View

# A, which stands for log 0; the published code has log 1e-4
LogZero: TypeAlias = Annotated[float, Field(ge=-100, lt=0)]


class MaeSettings(BaseLossSettings):
    """Mean absolute error of the probabilities [Ghosh2017].

    Formula: 1 - p_y
    Good for: high rates of symmetric label noise and few classes; learns slowly.
    Deviates: half of the L1 distance to the one-hot label, as some code has it.
    """

    kind: Literal["mae"] = "mae"

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return the mean, in [0, 1]."""
        from tunebox.losses.label_noise import mean_absolute_error

        return mean_absolute_error(view.logits, step.labels)


class GceSettings(BaseLossSettings):
    """Generalised cross-entropy, between cross-entropy and absolute error [Zhang2018].

    Formula: (1 - p_y^q) / q
    Good for: label noise; a larger q resists more and learns more slowly.
    Deviates: no truncation.
    """

    kind: Literal["gce"] = "gce"
    q: float = Field(0.7, gt=0, le=1)  # 1: absolute error; towards 0: cross-entropy

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return the mean, in [0, 1/q]."""
        from tunebox.losses.label_noise import generalized_cross_entropy

        return generalized_cross_entropy(view.logits, step.labels, self.q)


class SceSettings(BaseLossSettings):
    """Symmetric cross-entropy: cross-entropy and its reverse [Wang2019].

    Formula: -a log p_y - b A (1 - p_y)
    Good for: label noise; published a, b: 0.1, 1 for 10 classes, 6, 0.1 for 100.
    Deviates: no; A is log 1e-4 as in later code, -4 in the paper.
    """

    kind: Literal["sce"] = "sce"
    ce_weight: Weight = 0.1  # a
    rce_weight: Weight = 1.0  # b
    log_zero: LogZero = math.log(1e-4)  # A

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return the mean, >= 0."""
        from torch.nn import functional

        from tunebox.losses.label_noise import reverse_cross_entropy

        reverse = reverse_cross_entropy(view.logits, step.labels, self.log_zero)
        forward = functional.cross_entropy(view.logits, step.labels)
        return self.ce_weight * forward + self.rce_weight * reverse


class NceRceSettings(BaseLossSettings):
    """Normalised cross-entropy and reverse cross-entropy [Ma2020].

    Formula: a log p_y / sum_k log p_k - b A (1 - p_y)
    Good for: label noise; published a, b: 1, 1 for 10 classes, 10, 0.1 for 100.
    Deviates: no.
    """

    min_classes: ClassVar[int] = 2
    kind: Literal["nce_rce"] = "nce_rce"
    nce_weight: Weight = 1.0  # a
    rce_weight: Weight = 1.0  # b
    log_zero: LogZero = math.log(1e-4)  # A

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return the mean, >= 0."""
        from tunebox.losses.label_noise import normalized_cross_entropy, reverse_cross_entropy

        normalized = normalized_cross_entropy(view.logits, step.labels)
        reverse = reverse_cross_entropy(view.logits, step.labels, self.log_zero)
        return self.nce_weight * normalized + self.rce_weight * reverse


class AgceSettings(BaseLossSettings):
    """Asymmetric generalised cross-entropy with normalised cross-entropy [Zhou2021].

    Formula: c log p_y / sum_k log p_k + b ((a+1)^q - (a+p_y)^q) / q
    Good for: label noise, also asymmetric; published c, b, a, q: 1, 4, 6, 1.5 for 10 classes.
    Deviates: no; nce_weight 0 leaves the asymmetric part alone.
    """

    min_classes: ClassVar[int] = 2
    kind: Literal["agce"] = "agce"
    nce_weight: Weight = 1.0  # c
    agce_weight: Weight = 4.0  # b
    a: float = Field(6.0, gt=0, le=100)
    q: float = Field(1.5, gt=0, le=10)

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return the mean, >= 0."""
        from tunebox.losses.label_noise import (
            asymmetric_generalized_cross_entropy,
            normalized_cross_entropy,
        )

        value = asymmetric_generalized_cross_entropy(view.logits, step.labels, self.a, self.q)
        normalized = normalized_cross_entropy(view.logits, step.labels)
        return self.nce_weight * normalized + self.agce_weight * value


class AelSettings(BaseLossSettings):
    """Asymmetric exponential loss [Zhou2021].

    Formula: exp(-p_y / a)
    Good for: label noise, also asymmetric.
    Deviates: no.
    """

    kind: Literal["ael"] = "ael"
    a: float = Field(2.5, gt=0, le=100)

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return the mean, in (0, 1]."""
        from tunebox.losses.label_noise import asymmetric_exponential_loss

        return asymmetric_exponential_loss(view.logits, step.labels, self.a)


class FocalSettings(BaseLossSettings):
    """Focal loss: cross-entropy with less weight for images that are right already [Lin2017].

    Formula: -(1 - p_y)^g log p_y
    Good for: hard or rare images; the yardstick of the losses for label noise.
    Deviates: the factor carries no gradient, as in the code of [Ma2020].
    """

    kind: Literal["focal"] = "focal"
    gamma: float = Field(0.5, ge=0, le=10)  # g; 0: cross-entropy

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return the mean, >= 0."""
        from tunebox.losses.label_noise import focal_loss

        return focal_loss(view.logits, step.labels, self.gamma)


class PhuberSettings(BaseLossSettings):
    """Partially Huberised cross-entropy: linear for improbable labels [Menon2020].

    Formula: -log p_y if p_y > 1/t else -t p_y + log t + 1
    Good for: label noise; published t: 2 for 10 classes, 10 to 50 for 100.
    Deviates: no.
    """

    kind: Literal["phuber"] = "phuber"
    tau: float = Field(2.0, gt=1, le=1e6)  # t, the steepest slope

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return the mean, >= 0."""
        from tunebox.losses.label_noise import partially_huberised_cross_entropy

        return partially_huberised_cross_entropy(view.logits, step.labels, self.tau)
