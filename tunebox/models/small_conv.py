"""A small convolutional network for small images."""

from torch import nn


def small_conv_backbone(
    channels: int, height: int, width: int, num_filters: int, feature_dim: int
) -> nn.Sequential:
    """Return two blocks of convolution, batch norm, ReLU and pooling, and a linear feature layer.

    Maps images ``(B, channels, height, width)`` to ``(B, feature_dim)``.

    Args:
        channels: Of the images.
        height: In pixels, at least 4.
        width: In pixels, at least 4.
        num_filters: Channels of the first convolution; the second has twice as many.
        feature_dim: Length of the feature.

    Raises:
        ValueError: The images are too small for two poolings.
    """
    if min(height, width) < 4:
        raise ValueError(
            f"small_conv needs images of at least 4x4 pixels, got {height}x{width}: use mlp"
        )
    return nn.Sequential(
        *_block(channels, num_filters),
        *_block(num_filters, 2 * num_filters),
        nn.Flatten(),
        nn.Linear(2 * num_filters * (height // 4) * (width // 4), feature_dim),
    )


def _block(num_inputs: int, num_outputs: int) -> list[nn.Module]:
    return [
        # Batch norm takes the mean away, so a bias of the convolution would have no effect.
        nn.Conv2d(num_inputs, num_outputs, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(num_outputs),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
    ]
