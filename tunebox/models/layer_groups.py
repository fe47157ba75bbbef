"""The layers of a classifier in order, to freeze the first ones or train them more slowly.

A layer starts at a module with a weight of two or more dimensions. Norms, biases and tokens belong
to the layer before them; those before the first such module belong to the first layer. Layers are
in the order in which modules are registered, usually that of the forward pass. The head is last.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tunebox.models.base import Classifier
from tunebox.models.settings import ModelSettings


@dataclass(frozen=True)
class Layer:
    """A layer: its parameters and its batch norms."""

    parameters: list[nn.Parameter] = field(default_factory=list)
    batch_norms: list[nn.Module] = field(default_factory=list)


def layers_of(model: Classifier) -> list[Layer]:
    """Return the layers of the backbone, then the head; each parameter is in one layer."""
    layers = [Layer()]
    has_weight = False
    seen: set[nn.Parameter] = set()
    for module in [*model.backbone.modules(), *model.head.modules()]:
        own = dict(module.named_parameters(recurse=False))
        new = {name: value for name, value in own.items() if value not in seen}
        seen.update(new.values())
        starts = any(name.endswith("weight") and value.ndim >= 2 for name, value in new.items())
        if starts and has_weight:
            layers.append(Layer())
        has_weight = has_weight or starts
        layers[-1].parameters.extend(new.values())
        if isinstance(module, _BatchNorm):
            layers[-1].batch_norms.append(module)
    return layers


def freeze_layers(model: Classifier, settings: ModelSettings) -> None:
    """Freeze the layers that ``settings.train`` leaves out, and their batch-norm statistics."""
    layers = layers_of(model)
    frozen = layers[: len(layers) - settings.num_trained(len(layers))]
    for layer in frozen:
        for parameter in layer.parameters:
            parameter.requires_grad_(False)
    model.freeze([norm for layer in frozen for norm in layer.batch_norms])


def trained_parameters(
    model: Classifier, layer_decay: float
) -> list[tuple[float, list[nn.Parameter]]]:
    """Return the parameters that are not frozen, with the factors of their learning rates.

    The factor of a layer is ``layer_decay`` to the power of its distance from the head; the head,
    whose factor is 1, comes first. If ``layer_decay`` is 1, all parameters are in one group.
    """
    if layer_decay == 1.0:
        return [(1.0, [value for value in model.parameters() if value.requires_grad])]
    groups = []
    for distance, layer in enumerate(reversed(layers_of(model))):
        if trained := [value for value in layer.parameters if value.requires_grad]:
            groups.append((layer_decay**distance, trained))
    return groups
