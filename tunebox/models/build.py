"""From the settings of a model to the classifier."""

from collections.abc import Sequence

import torch
from torch import nn

from tunebox.models.base import Classifier
from tunebox.models.mlp import mlp_backbone
from tunebox.models.resnet import resnet18_backbone
from tunebox.models.settings import MlpSettings, ModelSettings, SmallConvSettings
from tunebox.models.small_conv import small_conv_backbone


def build_classifier(
    settings: ModelSettings,
    *,
    channels: int,
    height: int,
    width: int,
    num_classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int,
) -> Classifier:
    """Return a classifier on the CPU with torch's default initialisation.

    Args:
        settings: Which network.
        channels: Of the images.
        height: Of the images in pixels.
        width: Of the images in pixels.
        num_classes: Outputs of the head.
        mean: Of each channel, in units of the range [0, 1].
        std: Of each channel, in units of the range [0, 1], above 0.
        seed: The same seed gives the same weights; torch's global generator is left as it was.
    """
    # devices=[] and the CPU's own generator: a GPU's global generator stays untouched as well.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        backbone = _build_backbone(settings, channels, height, width)
        head = nn.Linear(settings.feature_dim, num_classes)
    return Classifier(backbone, head, mean, std)


def _build_backbone(
    settings: ModelSettings, channels: int, height: int, width: int
) -> nn.Sequential:
    if isinstance(settings, MlpSettings):
        num_inputs = channels * height * width
        return mlp_backbone(num_inputs, settings.width, settings.depth, settings.feature_dim)
    if isinstance(settings, SmallConvSettings):
        return small_conv_backbone(channels, height, width, settings.width, settings.feature_dim)
    return resnet18_backbone(channels, settings.feature_dim)
