"""Base losses on the cosines between features and class weights, which are then the logits.

[Deng2019] J. Deng et al. ArcFace: Additive Angular Margin Loss for Deep Face Recognition. CVPR
    2019.
[Wang2017] F. Wang et al. NormFace: L2 Hypersphere Embedding for Face Verification. ACM MM 2017.
[Wang2018] H. Wang et al. CosFace: Large Margin Cosine Loss for Deep Face Recognition. CVPR 2018.
[Zhou2022] X. Zhou et al. Learning Towards the Largest Margins. ICLR 2022. arXiv 2206.11589.
[Zhou2023] X. Zhou et al. On the Dynamics Under the Unhinged Loss and Beyond. JMLR 2023. arXiv
    2312.07841.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tunebox.losses.settings import BaseLossSettings

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.losses.context import StepContext, View


class CosineLossSettings(BaseLossSettings):
    """Settings of a base loss that makes the head one of cosines.

    The logits are ``scale`` times the cosines, in training, evaluation and exported models.
    """

    min_classes: ClassVar[int] = 2
    scale: float = Field(10.0, gt=0, le=1000)  # s, factor of the cosines

    @property
    def cosine_scale(self) -> float:
        """Scale of the head of cosines."""
        return self.scale


class LmSoftmaxSettings(CosineLossSettings):
    """The largest-margin softmax: the label is compared with the other classes only [Zhou2022].

    Formula: (1/s) log sum_{j != y} exp(s (u_j - u_y))
    Good for: large angles between classes; goes on where cross-entropy is content.
    Deviates: official code was not available; formula as in a third-party implementation.
    """

    kind: Literal["lm_softmax"] = "lm_softmax"

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return the loss, which may be negative."""
        from tunebox.losses.margins import lm_softmax

        return lm_softmax(view.logits / self.scale, step.labels, self.scale)


class NormFaceSettings(CosineLossSettings):
    """Cross-entropy of scaled cosines [Wang2017].

    Formula: -log softmax(s u)_y
    Good for: features whose length should not matter; the margin losses without a margin.
    Deviates: the scale is fixed, not learnt.
    """

    kind: Literal["norm_face"] = "norm_face"

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return the mean cross-entropy, in nats."""
        from torch.nn import functional

        return functional.cross_entropy(view.logits, step.labels)


class CosFaceSettings(CosineLossSettings):
    """Cross-entropy of scaled cosines, with a margin taken from the label's cosine [Wang2018].

    Formula: -log softmax(s u')_y, u'_y = u_y - m
    Good for: large angles between classes.
    Deviates: no.
    """

    kind: Literal["cos_face"] = "cos_face"
    margin: float = Field(0.1, ge=0, le=1)  # m, in units of the cosine

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return the mean cross-entropy, in nats."""
        from tunebox.losses.margins import margin_softmax

        return margin_softmax(
            view.logits / self.scale, step.labels, self.scale, self.margin, "cosine"
        )


class ArcFaceSettings(CosineLossSettings):
    """Cross-entropy of scaled cosines, with a margin added to the label's angle [Deng2019].

    Formula: -log softmax(s u')_y, u'_y = cos(arccos(u_y) + m)
    Good for: large angles between classes.
    Deviates: cosines are cut at 1 - 1e-7, where the slope of the arc cosine has no bound.
    """

    kind: Literal["arc_face"] = "arc_face"
    margin: float = Field(0.1, ge=0, le=1.5)  # m, in radians

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return the mean cross-entropy, in nats."""
        from tunebox.losses.margins import margin_softmax

        return margin_softmax(
            view.logits / self.scale, step.labels, self.scale, self.margin, "angle"
        )


class UnhingedSettings(CosineLossSettings):
    """The linear loss of scaled cosines [Zhou2023].

    Formula: 1 - z_y + mean_j z_j, z = s u, + r mean ||f||^2
    Good for: symmetric label noise, which only scales it.
    Deviates: always with normalised features and weights, which bound it. With plain logits and
        squared penalties on features and weights it is a quadratic form, so that it falls without
        end or is best at 0. The published coefficients were not readable.
    """

    kind: Literal["unhinged"] = "unhinged"
    feature_penalty: float = Field(0.0, ge=0, le=1000)  # r, of the mean squared feature length

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return the loss, at least ``1 - 2 scale``."""
        from tunebox.losses.square import unhinged_loss

        penalty = self.feature_penalty * view.features.square().sum(dim=1).mean()
        return unhinged_loss(view.logits, step.labels) + penalty
