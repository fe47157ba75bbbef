"""The CIFAR form of ResNet-18 with a linear feature layer.

[He2016] K. He et al. Deep residual learning for image recognition. CVPR 2016.
[Nguyen2025] H.-V. Nguyen et al. Training More Robust Classification Model via Discriminative Loss
    and Gaussian Noise Injection. arXiv 2405.18499.
"""

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


def resnet18_backbone(channels: int, feature_dim: int) -> nn.Sequential:
    """Return the network of [Nguyen2025], which maps ``(B, channels, H, W)`` to features.

    A 3x3 convolution without pooling for small images, four stages of two blocks, a mean over
    the image, and a linear layer to ``(B, feature_dim)`` without an activation.
    """
    layers: list[nn.Module] = [
        nn.Conv2d(channels, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
    ]
    num_inputs = 64
    for num_outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [
            BasicBlock(num_inputs, num_outputs, stride),
            BasicBlock(num_outputs, num_outputs, stride=1),
        ]
        num_inputs = num_outputs
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, feature_dim)
    )
