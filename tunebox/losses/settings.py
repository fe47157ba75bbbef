"""``losses`` in a search file: the terms of the training loss and the views they look at."""

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from tunebox.noise.settings import NoiseSettings
from tunebox.settings import Settings


class CrossEntropySettings(Settings):
    """Cross-entropy on the clean view, the noisy view, or the mean over both."""

    on: Literal["clean", "noisy", "both"]
    weight: float = Field(1.0, ge=0)


class DiscriminativeSettings(Settings):
    """Compact classes away from the decision boundaries [Nguyen2025]."""

    weight: float = Field(1.0, ge=0)  # λ
    compactness_weight: float = Field(1.0, ge=0)  # α
    margin_weight: float = Field(1.0, ge=0)  # β
    regularization_weight: float = Field(0.001, ge=0)  # γ
    delta_v: float = Field(0.5, ge=0)  # δ_v: free distance from the centroid, in feature units
    delta_d: float = Field(5.0, ge=0)  # δ_d: wanted distance to each boundary, in feature units
    momentum: float = Field(0.99, ge=0, lt=1)  # m of the centroids
    norm: Literal[1, 2] = 2

    @model_validator(mode="after")
    def _margin_exceeds_radius(self) -> Self:
        # A class of radius delta_v keeps delta_d - delta_v to the boundary only if that is > 0.
        if self.delta_d <= self.delta_v:
            raise ValueError(
                f"delta_d must be above delta_v, got delta_d={self.delta_d:g} "
                f"and delta_v={self.delta_v:g}"
            )
        return self


class StabilitySettings(Settings):
    """The two views of an image should have the same features [Zheng2016]."""

    weight: float = Field(1.0, ge=0)


class LossesSettings(Settings):
    """The weighted terms, the noise of the noisy view, and how the views are made."""

    cross_entropy: CrossEntropySettings
    discriminative: DiscriminativeSettings | None = None
    stability: StabilitySettings | None = None
    noise: NoiseSettings | None = None
    # independent: each view has its own crop and flip (as published); same: they share them
    view: Literal["same", "independent"] = "same"
    # joint: one forward over both views, so that batch norm sees both; separate: one for each
    forward: Literal["separate", "joint"] = "separate"

    @property
    def needs_noisy_view(self) -> bool:
        """Whether any term looks at noisy images."""
        terms = (self.discriminative, self.stability)
        return self.cross_entropy.on != "clean" or any(term is not None for term in terms)

    @model_validator(mode="after")
    def _some_weight_is_above_zero(self) -> Self:
        terms = (self.cross_entropy, self.discriminative, self.stability)
        if not any(term is not None and term.weight > 0 for term in terms):
            raise ValueError("every weight is 0: give at least one term a weight above 0")
        return self

    @model_validator(mode="after")
    def _noise_matches_terms(self) -> Self:
        if self.needs_noisy_view and self.noise is None:
            raise ValueError("a term looks at the noisy view: say how it is made with a noise key")
        if not self.needs_noisy_view and self.noise is not None:
            raise ValueError("no term looks at the noisy view: remove noise, or use it in a term")
        return self
