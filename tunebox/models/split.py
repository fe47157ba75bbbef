"""Splits any network into a backbone and a head, which is the last linear layer.

Shapes: B images, D feature values, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tunebox.models.settings import ImageShape, Network

_TRIED = 2  # number of images


def split_network(network: object, name: str | None, shape: ImageShape) -> Network:
    """Return ``network`` as a backbone that gives features ``(B, D)``, and a linear head.

    The head is replaced by an identity in the network.

    Args:
        network: Takes images ``(B, C, H, W)`` and returns logits ``(B, K)``, which must be the
            unchanged output of its head.
        name: Name of the head within the network, such as ``classifier.6``; None for the last
            linear layer with ``num_classes`` outputs.
        shape: The images and classes that the network is built for.

    Raises:
        ValueError: The network does not fit this description, as tested with two random images.
    """
    if not isinstance(network, nn.Module):
        raise ValueError(f"expected a torch.nn.Module, got {type(network).__name__}")
    name = _find_head(network, shape.num_classes) if name is None else name
    head = _module(network, name)
    if not isinstance(head, nn.Linear):
        raise ValueError(f"the head {name!r} is a {type(head).__name__}; it must be a Linear layer")
    if head.out_features != shape.num_classes:
        raise ValueError(
            f"the head {name!r} has {head.out_features} outputs, expected {shape.num_classes}, "
            "one for each class"
        )
    logits = _output(network, shape)
    if name == "":
        backbone: nn.Module = nn.Identity()
    else:
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, nn.Identity())
        backbone = network
    _check(logits, _output(backbone, shape), head, name)
    return Network(backbone, head)


def _find_head(network: nn.Module, num_classes: int) -> str:
    linear = _linear_layers(network)
    fitting = [name for name, layer in linear.items() if layer.out_features == num_classes]
    if not fitting:
        found = ", ".join(linear) or "none"
        raise ValueError(
            f"no linear layer has {num_classes} outputs, one for each class; linear layers: {found}"
        )
    return fitting[-1]


def _linear_layers(network: nn.Module) -> dict[str, nn.Linear]:
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Linear)}


def _module(network: nn.Module, name: str) -> nn.Module:
    try:
        return network.get_submodule(name)
    except AttributeError:
        known = ", ".join(_linear_layers(network))
        raise ValueError(
            f"no layer {name!r} in the network; its linear layers are {known}"
        ) from None


def _output(network: nn.Module, shape: ImageShape) -> Tensor:
    """Return the output for two fixed images, without changing the network."""
    size = (_TRIED, shape.channels, shape.height, shape.width)
    images = torch.rand(size, generator=torch.Generator().manual_seed(0))
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            output = network(images)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        raise ValueError(
            f"it fails on images {tuple(size)}: {str(error).splitlines()[0]}"
        ) from error
    finally:
        network.train(was_training)
    if not isinstance(output, Tensor):
        raise ValueError(f"it returns {type(output).__name__}, expected one tensor of logits")
    return output


def _check(logits: Tensor, features: Tensor, head: nn.Linear, name: str) -> None:
    expected = (_TRIED, head.out_features)
    if tuple(logits.shape) != expected:
        raise ValueError(f"it returns {tuple(logits.shape)}, expected logits {expected}")
    if features.ndim != 2 or features.shape[1] != head.in_features:
        raise ValueError(
            f"the input of the head {name!r} is {tuple(features.shape)}, expected "
            f"{(_TRIED, head.in_features)}: flatten before it"
        )
    with torch.no_grad():
        again = head(features)
    if not logits.is_meta and not torch.allclose(again, logits, rtol=1e-3, atol=1e-4):
        raise ValueError(
            f"what it returns is not what its linear layer {name!r} returns: leave out what comes "
            "after, such as a softmax, or name the last layer with head: .."
        )
