"""``losses`` in a search file: the terms of the training loss and the views that they use.

Every key that is not a setting of `LossesSettings` is the name of a term. The name is also its
kind, unless ``kind`` is given: ``my_term: {kind: "parts.py:entropy", strength: 0.1}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from typing_extensions import Self

from tunebox.noise.settings import NoiseSettings
from tunebox.parts.part import Part
from tunebox.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.losses import context as step_context
    from tunebox.losses.base import LossTerm

View: TypeAlias = Literal["clean", "noisy"]
Views: TypeAlias = tuple[View, ...]
Family: TypeAlias = Literal["base", "regulariser", "adversarial", "smoothing"]
OnViews: TypeAlias = Literal["clean", "noisy", "both"]
Weight: TypeAlias = Annotated[float, Field(ge=0, le=1e6)]  # of a term, or of a part of one

# what a function, or ``forward`` of a class, can have as arguments
OF_STEP = (
    *("step", "features", "logits", "images", "labels", "indices", "progress", "generator"),
    "model",
)


@dataclass(frozen=True)
class TermContext:
    """What a loss term may need for its construction.

    Attributes:
        num_classes: Classes of the data set.
        feature_dim: Length of a feature.
        num_images: Images of the training set.
        noise_std: Standard deviation of the noisy view's noise, None unless that is Gaussian.
    """

    num_classes: int
    feature_dim: int
    num_images: int
    noise_std: float | None = None


class TermSettings(Part):
    """Settings of a loss term.

    Attributes:
        weight: Factor of the term in the training loss.
        needs_linear_head: Whether the term makes no sense with a head of cosines.
        needs_gaussian: Whether the noise of the noisy view has to be Gaussian.
        needs_same_view: Whether both views have to share crop and flip.
        family: Which table of docs/methods.md has the term.
        cost: Forwards of a step, each followed by a backward; by default counted from the views.
        min_classes: Classes that the data set must have.
    """

    min_classes: ClassVar[int] = 1
    needs_linear_head: ClassVar[bool] = False
    needs_gaussian: ClassVar[bool] = False
    needs_same_view: ClassVar[bool] = False
    family: ClassVar[Family] = "regulariser"
    cost: ClassVar[str | None] = None
    group = "term"
    package = "tunebox.losses.terms"
    supplied = (
        *("num_classes", "feature_dim", "num_images"),  # for the constructor of a class
        *OF_STEP,
    )

    weight: Weight = 1.0

    @classmethod
    def of_own_code(cls) -> type[TermSettings]:
        """Return the base class for user-defined terms."""
        return OwnTermSettings

    @property
    def views(self) -> Views:
        """The views that the term looks at."""
        return ("clean", "noisy")

    @property
    def image_views(self) -> Views:
        """The views whose images the term needs, beside those that it looks at."""
        return ()

    @property
    def num_copies(self) -> int:
        """How many noisy copies of each image the term needs."""
        return 1

    @property
    def teacher_decay(self) -> float | None:
        """Share that the teacher keeps of itself in each step; None if the term needs none."""
        return None

    @property
    def cosine_scale(self) -> float | None:
        """Scale of the head of cosines that the term needs; None if any head will do."""
        return None

    def build(self, context: TermContext) -> LossTerm:
        """Return the term in its initial state."""
        raise NotImplementedError


class ViewTermSettings(TermSettings):
    """Settings of a term that is computed on each view by itself, and averaged over the views."""

    on: OnViews = "clean"  # both: the mean over the two views

    @property
    def views(self) -> Views:
        """The views that the term looks at."""
        return ("clean", "noisy") if self.on == "both" else (self.on,)

    def build(self, context: TermContext) -> LossTerm:
        """Return the mean of `of_view` over the views; copies of the noisy view count as one."""
        from tunebox.losses.base import FunctionTerm, mean_over_views

        return FunctionTerm(lambda step: mean_over_views(step, self.views, self.of_view))

    def of_view(self, step: step_context.StepContext, view: step_context.View) -> Tensor:
        """Return the term on one view of the step, a scalar."""
        raise NotImplementedError


class BaseLossSettings(ViewTermSettings):
    """Settings of a loss that a classifier can be trained with alone, such as cross-entropy."""

    family: ClassVar[Family] = "base"
    on: OnViews  # both: the mean over the two views


class OwnTermSettings(ViewTermSettings):
    """Settings of a user-defined loss term, in addition to the arguments of its code."""

    def build(self, context: TermContext) -> LossTerm:
        """Return the term made from the function or class.

        The function, or ``forward`` of the class, gets the arguments that it names. ``step`` is the
        whole `StepContext`; ``features``, ``logits`` and ``images`` belong to one view, and code
        that takes them is called once for each view.
        """
        from tunebox.losses.own import own_term

        return own_term(self, context)


class LossesSettings(Settings):
    """The weighted terms, the noise of the noisy view, and how the views are made."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, TermSettings] = Field(init=False)

    noise: NoiseSettings | None = None
    # independent: each view has its own crop and flip (as in the paper); same: both share them
    view: Literal["same", "independent"] = "same"
    # joint: one forward pass over both views, so batch norm sees both; separate: one for each
    forward: Literal["separate", "joint"] = "separate"

    @property
    def terms(self) -> dict[str, TermSettings]:
        """The terms by name, in the order of the file."""
        return self.__pydantic_extra__

    @property
    def active_terms(self) -> dict[str, TermSettings]:
        """The terms whose weight is above 0."""
        return {name: term for name, term in self.terms.items() if term.weight > 0}

    @property
    def views(self) -> set[View]:
        """The views that active terms use."""
        return {view for term in self.active_terms.values() for view in term.views}

    @property
    def image_views(self) -> set[View]:
        """The views whose images active terms use, with or without a forward."""
        others = {view for term in self.active_terms.values() for view in term.image_views}
        return self.views | others

    @property
    def num_copies(self) -> int:
        """How many noisy copies of each image active terms need."""
        return max(term.num_copies for term in self.active_terms.values())

    @property
    def cosine_scale(self) -> float | None:
        """Scale of the head of cosines that an active term needs, None for a linear head."""
        scales = (term.cosine_scale for term in self.active_terms.values())
        return next((scale for scale in scales if scale is not None), None)

    @property
    def teacher_decay(self) -> float | None:
        """Decay of the teacher that an active term needs, None for no teacher."""
        decays = (term.teacher_decay for term in self.active_terms.values())
        return next((decay for decay in decays if decay is not None), None)

    @model_validator(mode="before")
    @classmethod
    def _a_name_is_a_kind(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {
            name: {"kind": name, **value}
            if isinstance(value, Mapping) and name not in cls.model_fields
            else value
            for name, value in values.items()
        }

    @model_serializer(mode="wrap")
    def _without_kinds_that_are_names(
        self, handler: SerializerFunctionWrapHandler
    ) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        for name in self.terms:
            if written[name]["kind"] == name:
                del written[name]["kind"]
        return written

    @model_validator(mode="after")
    def _some_weight_is_above_zero(self) -> Self:
        if not self.terms:
            raise ValueError("there is no loss term: give at least cross_entropy: {on: clean}")
        if not self.active_terms:
            raise ValueError("every weight is 0: give at least one term a weight above 0")
        return self

    @model_validator(mode="after")
    def _noise_matches_terms(self) -> Self:
        needs_noise = any("noisy" in (*t.views, *t.image_views) for t in self.terms.values())
        if needs_noise and self.noise is None:
            raise ValueError("a term looks at the noisy view: say how it is made with a noise key")
        if not needs_noise and self.noise is not None:
            raise ValueError("no term looks at the noisy view: remove noise, or use it in a term")
        return self

    @model_validator(mode="after")
    def _base_losses_are_of_one_kind(self) -> Self:
        base = {
            term.kind: name
            for name, term in self.active_terms.items()
            if isinstance(term, BaseLossSettings)
        }
        if len(base) > 1:
            names = " and ".join(base.values())
            raise ValueError(f"{names} replace each other: keep one, or make them branches")
        return self

    @model_validator(mode="after")
    def _head_suits_all_terms(self) -> Self:
        if self.cosine_scale is None:
            return self
        for name, term in self.active_terms.items():
            if term.needs_linear_head:
                raise ValueError(f"{name} needs a linear head, another term one of cosines")
        scales = {term.cosine_scale for term in self.active_terms.values()} - {None}
        if len(scales) > 1:
            raise ValueError("terms with a head of cosines need the same scale")
        return self

    @model_validator(mode="after")
    def _views_suit_all_terms(self) -> Self:
        for name, term in self.active_terms.items():
            if term.needs_gaussian and getattr(self.noise, "kind", None) != "gaussian":
                raise ValueError(f"{name} needs noise of the kind gaussian, whose std it uses")
            if term.needs_same_view and self.view != "same":
                raise ValueError(
                    f"{name} needs view: same, since it adds the noise to clean images"
                )
        if len({term.teacher_decay for term in self.active_terms.values()} - {None}) > 1:
            raise ValueError("terms with a teacher need the same decay")
        return self
