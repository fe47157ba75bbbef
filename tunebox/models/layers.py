"""Blocks that networks are made of.

Shapes: B images, H x W pixels, T tokens, D values of a token.

[Dosovitskiy2021] A. Dosovitskiy et al. An image is worth 16x16 words: transformers for image
    recognition at scale. ICLR 2021.
[He2016] K. He et al. Deep residual learning for image recognition. CVPR 2016.
[He2016b] K. He et al. Identity mappings in deep residual networks. ECCV 2016.
[Trockman2023] A. Trockman and J. Z. Kolter. Patches are all you need? TMLR 2023.
[Zagoruyko2016] S. Zagoruyko and N. Komodakis. Wide residual networks. BMVC 2016.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut [He2016]."""

    def __init__(self, num_inputs: int, num_outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_inputs, num_outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(num_outputs)
        self.conv2 = nn.Conv2d(num_outputs, num_outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(num_outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or num_inputs != num_outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(num_inputs, num_outputs, 1, stride, bias=False),
                nn.BatchNorm2d(num_outputs),
            )

    def forward(self, images: Tensor) -> Tensor:
        """Return ``(B, num_outputs, H / stride, W / stride)``, not negative."""
        hidden = functional.relu(self.norm1(self.conv1(images)))
        return functional.relu(self.norm2(self.conv2(hidden)) + self.shortcut(images))


def resnet18_stages(block: Callable[[int, int, int], nn.Module]) -> list[nn.Module]:
    """Return the four stages of two blocks of ResNet-18, from 64 channels to 512.

    Args:
        block: Makes a block from its input channels, its output channels and its stride.
    """
    layers: list[nn.Module] = []
    num_inputs = 64
    for num_outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [block(num_inputs, num_outputs, stride), block(num_outputs, num_outputs, 1)]
        num_inputs = num_outputs
    return layers


class PreActBlock(nn.Module):
    """Two 3x3 convolutions, each after batch norm and ReLU, beside a shortcut [He2016b].

    Where the shape changes, the shortcut is a 1x1 convolution of what the first ReLU gives.
    ``drop_rate`` is the dropout between the convolutions [Zagoruyko2016].
    """

    def __init__(
        self, num_inputs: int, num_outputs: int, stride: int, drop_rate: float = 0.0
    ) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(num_inputs)
        self.conv1 = nn.Conv2d(num_inputs, num_outputs, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(num_outputs)
        self.dropout = nn.Dropout(drop_rate)
        self.conv2 = nn.Conv2d(num_outputs, num_outputs, 3, padding=1, bias=False)
        self.shortcut: nn.Conv2d | None = None
        if stride != 1 or num_inputs != num_outputs:
            self.shortcut = nn.Conv2d(num_inputs, num_outputs, 1, stride, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return ``(B, num_outputs, H / stride, W / stride)``, of any sign."""
        active = functional.relu(self.norm1(images))
        kept = images if self.shortcut is None else self.shortcut(active)
        hidden = self.dropout(functional.relu(self.norm2(self.conv1(active))))
        changed: Tensor = self.conv2(hidden)
        return changed + kept


class MixerBlock(nn.Module):
    """A depthwise convolution beside a shortcut, then a 1x1 convolution [Trockman2023]."""

    def __init__(self, dim: int, kernel_size: int) -> None:
        super().__init__()
        self.depthwise = nn.Sequential(
            nn.Conv2d(dim, dim, kernel_size, padding="same", groups=dim),
            nn.GELU(),
            nn.BatchNorm2d(dim),
        )
        self.pointwise = nn.Sequential(nn.Conv2d(dim, dim, 1), nn.GELU(), nn.BatchNorm2d(dim))

    def forward(self, images: Tensor) -> Tensor:
        """Return ``(B, dim, H, W)``."""
        mixed: Tensor = self.pointwise(images + self.depthwise(images))
        return mixed


class PatchTokens(nn.Module):
    """Patches of an image as tokens, after a class token, with learnt positions added."""

    def __init__(self, channels: int, num_patches: int, patch_size: int, dim: int) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.empty(1, 1, dim))
        self.positions = nn.Parameter(torch.empty(1, num_patches + 1, dim))
        self.patches = nn.Conv2d(channels, dim, patch_size, patch_size)
        for parameter in (self.class_token, self.positions):
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        """Return ``(B, T, D)`` of images ``(B, C, H, W)``; the class token is the first."""
        patches = self.patches(images).flatten(2).transpose(1, 2)
        first = self.class_token.expand(len(images), -1, -1)
        return torch.cat([first, patches], dim=1) + self.positions


class TransformerBlock(nn.Module):
    """Attention and two linear layers, each after layer norm and beside a shortcut.

    The encoder of [Dosovitskiy2021].
    """

    def __init__(self, dim: int, heads: int, mlp_ratio: float, drop_rate: float) -> None:
        super().__init__()
        hidden = int(dim * mlp_ratio)
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.projection = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.expand = nn.Linear(dim, hidden)
        self.shrink = nn.Linear(hidden, dim)
        self.dropout = nn.Dropout(drop_rate)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return ``(B, T, D)``."""
        tokens = tokens + self.dropout(self.projection(self._attention(self.norm1(tokens))))
        hidden = self.dropout(functional.gelu(self.expand(self.norm2(tokens))))
        changed: Tensor = self.dropout(self.shrink(hidden))
        return tokens + changed

    def _attention(self, tokens: Tensor) -> Tensor:
        # Written out: torch's fused attention has no second derivative, which some losses need.
        queries, keys, values = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).unbind(2)
        scores = torch.einsum("bqhd,bkhd->bhqk", queries, keys) * queries.shape[-1] ** -0.5
        return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), values).flatten(2)


class FirstToken(nn.Module):
    """Leaves the class token alone."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Return ``(B, D)`` of ``(B, T, D)``."""
        return tokens[:, 0]


class CosineHead(nn.Linear):
    """A head whose logits are ``scale * cos(feature, weights of the class)``, without a bias.

    Args:
        linear: The head that it replaces; its weights are taken over.
        scale: Factor of the cosines, above 0.
    """

    def __init__(self, linear: nn.Linear, scale: float) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=False)
        self.weight = linear.weight
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits ``(B, K)`` of features ``(B, D)``; 0 for a feature of zeros."""
        return self.scale * functional.linear(unit_rows(features), unit_rows(self.weight))


def unit_rows(rows: Tensor) -> Tensor:
    """Return each row of ``(N, D)`` divided by its Euclidean length; a row of zeros stays so.

    Where a row is 0 its direction is undefined; the gradient there is that of the identity, finite
    unlike that of a division by a small number.
    """
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows / torch.where(lengths > 1e-12, lengths, 1)
