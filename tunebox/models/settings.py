"""``model`` in a search file: a backbone, which turns an image into a feature, and a linear head.

Shapes: B images, C channels, H x W pixels, D feature values, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple, TypeAlias

from pydantic import Field

from tunebox.parts.part import Part
from tunebox.settings import Settings

if TYPE_CHECKING:
    from torch import nn

Width: TypeAlias = Annotated[int, Field(ge=1, le=2**16)]  # of a layer, in units or channels
Depth: TypeAlias = Annotated[int, Field(ge=1, le=1000)]  # in layers or blocks


@dataclass(frozen=True)
class ImageShape:
    """The images and classes that a model is built for.

    Attributes:
        channels: Channels of an image.
        height: Height in pixels.
        width: Width in pixels.
        num_classes: Classes of the data set.
        weights_follow: Whether a state dict is loaded afterwards, so that pretrained weights need
            not be read or downloaded.
    """

    channels: int
    height: int
    width: int
    num_classes: int
    weights_follow: bool = False


class Network(NamedTuple):
    """A backbone from normalised images ``(B, C, H, W)`` to features, and a head to logits."""

    backbone: nn.Module  # gives (B, D)
    head: nn.Linear  # D inputs, K outputs
    # Normalisation per channel, for pixels in [0, 1]; None: computed from the data.
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None


class LastLayers(Settings):
    """The last layers of a network, including the head."""

    last: int = Field(ge=1, le=100_000)  # above the number of layers: all


class ModelSettings(Part):
    """Settings of a model.

    Attributes:
        train: Which layers are trained; `tunebox.models.layer_groups` defines a layer.
        layer_decay: Each layer has the learning rate of the next layer times this factor.
        computes_when_built: Whether `build` needs real memory: code of a library or of the user
            runs in it.
    """

    group = "model"
    package = "tunebox.models.networks"
    supplied = ("num_classes", "in_channels", "image_size")
    computes_when_built: ClassVar[bool] = False

    train: Literal["all", "head"] | LastLayers = "all"
    layer_decay: float = Field(1.0, gt=0, le=1)

    def num_trained(self, num_layers: int) -> int:
        """Return how many of ``num_layers`` layers are trained, counted from the last one."""
        if isinstance(self.train, LastLayers):
            return min(self.train.last, num_layers)
        return num_layers if self.train == "all" else 1

    @classmethod
    def of_own_code(cls) -> type[ModelSettings]:
        """Return the base class for user-defined models."""
        return OwnModelSettings

    def build(self, shape: ImageShape) -> Network:
        """Return the network on the CPU, its weights drawn from torch's global generator."""
        raise NotImplementedError


class OwnModelSettings(ModelSettings):
    """Settings of a user-defined model, in addition to the arguments of its code."""

    computes_when_built = True

    head: str | None = None  # name of the last linear layer; null: found automatically

    def build(self, shape: ImageShape) -> Network:
        """Return the module that the code returns, split before its last linear layer.

        The code may take ``num_classes``, ``in_channels`` and ``image_size``, the height
        and width in pixels.
        """
        from tunebox.models.split import split_network

        made = self.call(
            num_classes=shape.num_classes,
            in_channels=shape.channels,
            image_size=(shape.height, shape.width),
        )
        return split_network(made, self.head, shape)
