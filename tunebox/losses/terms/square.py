"""Square loss on the logits instead of cross-entropy.

[Hu2022] T. Hu et al. Understanding Square Loss in Training Overparametrized Neural Network
    Classifiers. NeurIPS 2022. arXiv 2112.03657.
[Hui2021] L. Hui and M. Belkin. Evaluation of Neural Architectures Trained with Square Loss vs
    Cross-Entropy in Classification Tasks. ICLR 2021. arXiv 2006.07322.
[Hui2023] L. Hui, M. Belkin and S. Wright. Cut your Losses with Squentropy. ICML 2023.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tunebox.losses.settings import BaseLossSettings

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.losses.context import StepContext, View


class SquareSettings(BaseLossSettings):
    """Square loss on raw logits [Hui2021].

    Formula: (1/C) (k (z_y - M)^2 + sum_{j != y} z_j^2)
    Good for: often as accurate as cross-entropy and better calibrated; k = M = 1 for few classes.
    Deviates: no. Of the order of M^2, so the learning rate depends on M.
    """

    kind: Literal["square"] = "square"
    label_factor: float = Field(1.0, gt=0, le=1000)  # k, factor of the label's square
    label_value: float = Field(1.0, gt=0, le=1000)  # M, wanted logit of the label

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return the mean square, in squared logits."""
        from tunebox.losses.square import rescaled_square_loss

        return rescaled_square_loss(view.logits, step.labels, self.label_factor, self.label_value)


class SimplexSquareSettings(BaseLossSettings):
    """Squared distance of the logits from the label's vertex of a regular simplex [Hu2022].

    Formula: ||z - v_y||^2, v_k = (e_k - 1/C) / ||e_k - 1/C||
    Good for: calibration and margins; all classes are equally far apart.
    Deviates: C logits instead of C - 1, which is the same up to a rotation. Probabilities are the
        softmax of the logits, which is flat: look at accuracy rather than at loss.
    """

    min_classes: ClassVar[int] = 2
    kind: Literal["simplex_square"] = "simplex_square"

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return the mean square, in squared logits."""
        from tunebox.losses.square import simplex_square_loss

        return simplex_square_loss(view.logits, step.labels)


class SquentropySettings(BaseLossSettings):
    """Cross-entropy plus the mean square of the other classes' logits [Hui2023].

    Formula: -log p_y + (1/(C-1)) sum_{j != y} z_j^2
    Good for: calibration, without settings.
    Deviates: no.
    """

    min_classes: ClassVar[int] = 2
    kind: Literal["squentropy"] = "squentropy"

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return the loss, >= 0."""
        from tunebox.losses.square import squentropy

        return squentropy(view.logits, step.labels)
