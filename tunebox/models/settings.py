"""``model`` in a search file: each kind is a backbone (image to feature) and a linear head."""

from typing import Annotated, Literal

from pydantic import Field

from tunebox.settings import Settings


class MlpSettings(Settings):
    """Fully connected layers with ReLU; the feature is linear."""

    kind: Literal["mlp"]
    width: int = Field(128, ge=1)
    depth: int = Field(2, ge=1)  # hidden layers
    feature_dim: int = Field(32, ge=1)


class SmallConvSettings(Settings):
    """Two 3x3 convolutions with batch norm, ReLU and pooling; the feature is linear."""

    kind: Literal["small_conv"]
    width: int = Field(16, ge=1)  # channels of the first convolution; the second has twice as many
    feature_dim: int = Field(64, ge=1)


class ResNet18Settings(Settings):
    """The CIFAR form of ResNet-18 with a linear feature layer."""

    kind: Literal["resnet18"]
    feature_dim: int = Field(128, ge=1)


ModelSettings = Annotated[
    MlpSettings | SmallConvSettings | ResNet18Settings, Field(discriminator="kind")
]
