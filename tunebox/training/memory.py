"""How much memory a trial takes on a CPU, estimated without training it.

Shapes: B images, C channels, H x W pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from tunebox.models.settings import ImageShape
from tunebox.spec.trial_config import TrialConfig
from tunebox.training.at_hand import SMALL_BYTES

# Of a process with Ray and torch before it has images and a model, measured on Linux.
_PROCESS = 700 * 2**20
_FLOAT = 4  # bytes
_COPIES = 4  # of each parameter: itself, its gradient, and up to two moments of the optimizer
_IMAGE_COPIES = 3  # of the images of a batch: augmented, noisy, and between the two


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a trial takes.

    Attributes:
        process: Python, Ray and torch.
        images: Images that the trial holds; each fold of a cross-validation has its own.
        model: Parameters, their gradients, and the state of the optimizer, of all its models.
        batch: What a step of training keeps for its gradients.
    """

    process: int
    images: int
    model: int
    batch: int

    @property
    def total(self) -> int:
        """All of them together."""
        return self.process + self.images + self.model + self.batch

    def __str__(self) -> str:
        parts = {"batch": self.batch, "images": self.images, "model": self.model}
        listed = ", ".join(f"{name} {size / 2**30:.1f}" for name, size in parts.items())
        return f"{self.total / 2**30:.1f} GB ({listed})"


def estimate_memory(
    config: TrialConfig, image_shape: tuple[int, int, int], num_images: int, num_classes: int
) -> MemoryEstimate | None:
    """Return what a trial takes on a CPU; None for a model of the user's own, or an odd one.

    The activations that autograd keeps are counted on tensors without content. Gradients of the
    activations come to at most twice the largest of them at a time.

    Args:
        config: The trial.
        image_shape: Channels, height and width of the images.
        num_images: Images for training and validation.
        num_classes: Number of classes.
    """
    if config.model.code is not None:
        return None
    num_models = config.evaluation.cross_validation or 1
    copies = sum(config.losses.num_copies if view == "noisy" else 1 for view in config.losses.views)
    batch_size = min(config.training.batch_size, num_images)
    try:
        model, activations = _on_no_device(config, image_shape, batch_size * copies, num_classes)
    except Exception:  # a network of a library may need real tensors
        return None
    values = math.prod(image_shape)
    return MemoryEstimate(
        process=_PROCESS,
        images=num_models * min(SMALL_BYTES, num_images * values),
        model=_COPIES * num_models * model,
        batch=activations + _IMAGE_COPIES * copies * batch_size * values * _FLOAT,
    )


def _on_no_device(
    config: TrialConfig, image_shape: tuple[int, int, int], num_images: int, num_classes: int
) -> tuple[int, int]:
    """Return the bytes of the parameters, and those of the activations of a training step."""
    shape = replace(ImageShape(*image_shape, num_classes), weights_follow=True)
    sizes: dict[Any, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage._cdata] = storage.nbytes()
        held.append(tensor)  # alive, so that no other storage gets its address
        return tensor

    held: list[Tensor] = []
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        network = config.model.build(shape)
        modules = (network.backbone.train(), network.head)
        parameters = [p for module in modules for p in module.parameters()]
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            network.head(network.backbone(torch.empty(num_images, *image_shape)))
    for parameter in parameters:
        sizes.pop(parameter.untyped_storage()._cdata, None)
    model = sum(p.numel() for p in parameters) * _FLOAT
    return model, sum(sizes.values()) + 2 * max(sizes.values(), default=0)
