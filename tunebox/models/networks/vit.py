"""A vision transformer for small images.

[Dosovitskiy2021] A. Dosovitskiy et al. An image is worth 16x16 words: transformers for image
    recognition at scale. ICLR 2021.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from tunebox.models.settings import Depth, ImageShape, ModelSettings, Network, Width
from tunebox.settings import MOST_PIXELS


class VitSettings(ModelSettings):
    """A vision transformer [Dosovitskiy2021]; the feature is its class token after layer norm."""

    kind: Literal["vit"]
    patch_size: int = Field(
        4, ge=1, le=MOST_PIXELS
    )  # must divide the height and width of the images
    dim: Width = 192  # length of each token and of the feature
    depth: Depth = 6
    heads: int = Field(3, ge=1, le=1000)  # must divide dim
    mlp_ratio: float = Field(4.0, gt=0, le=100)
    drop_rate: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide_dim(self) -> Self:
        if self.dim % self.heads != 0:
            raise ValueError(f"heads must divide dim, got heads {self.heads} and dim {self.dim}")
        return self

    def build(self, shape: ImageShape) -> Network:
        """Return the network on the CPU."""
        from torch import nn

        from tunebox.models.layers import FirstToken, PatchTokens, TransformerBlock

        size = self.patch_size
        if shape.height % size != 0 or shape.width % size != 0:
            raise ValueError(
                f"vit: images of {shape.height}x{shape.width} pixels cannot be cut into patches "
                f"of {size}: choose a patch_size that divides both"
            )
        num_patches = (shape.height // size) * (shape.width // size)
        backbone = nn.Sequential(
            PatchTokens(shape.channels, num_patches, size, self.dim),
            nn.Dropout(self.drop_rate),
            *(
                TransformerBlock(self.dim, self.heads, self.mlp_ratio, self.drop_rate)
                for _ in range(self.depth)
            ),
            nn.LayerNorm(self.dim, eps=1e-6),
            FirstToken(),
        )
        return Network(backbone, nn.Linear(self.dim, shape.num_classes))
