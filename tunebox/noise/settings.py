"""``noise`` in a search file: the function that turns an image in [0, 1] into its noisy view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import Field

from tunebox.parts.part import Part
from tunebox.settings import Usual

if TYPE_CHECKING:
    from tunebox.noise.base import Perturbation

# in units of the pixel range [0, 1]
NoiseLevel: TypeAlias = Annotated[
    float,
    Field(ge=0, le=10),
    Usual(2, "little is left of images, whose pixels are in [0, 1]"),
]


class NoiseSettings(Part):
    """Settings of a noise."""

    group = "noise"
    package = "tunebox.noise"
    supplied = ("images", "generator")

    @property
    def needed_side(self) -> int:
        """The smallest allowed length of the shorter side of an image, in pixels."""
        return 1

    def build(self) -> Perturbation:
        """Return the noise as a function; see `tunebox.noise.base.Perturbation`."""
        if isinstance(self.code, type):
            made: Perturbation = self.call()
            return made
        return lambda images, generator: self.call(images=images, generator=generator)
