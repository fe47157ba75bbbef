"""From the settings of a model to the classifier."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from tunebox.models.base import Classifier
from tunebox.models.layers import CosineHead
from tunebox.models.settings import ImageShape, ModelSettings
from tunebox.models.size import check_size

_MOST_PIXELS = 1 << 24  # of an image, in all channels


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
    weights_follow: bool = False,
    cosine_scale: float | None = None,
) -> Classifier:
    """Return a classifier on the CPU with torch's default initialisation.

    Args:
        settings: Which network.
        channels: Number of channels of the images.
        height: Height of the images in pixels.
        width: Width of the images in pixels.
        num_classes: Outputs of the head.
        mean: Mean of each channel, in units of the range [0, 1]; a pretrained network may have
            its own.
        std: Standard deviation of each channel, in units of the range [0, 1], above 0; likewise.
        seed: The same seed gives the same weights; torch's global generator is left as it was.
        weights_follow: Whether the caller loads a state dict next: pretrained weights are left
            out.
        cosine_scale: Replaces the head by one of cosines with this scale; None leaves it linear.

    Raises:
        TuneboxError: The model does not fit into memory.
    """
    shape = ImageShape(channels, height, width, num_classes, weights_follow)
    check_size(settings, shape)
    return _built(settings, shape, mean, std, seed, cosine_scale)


def _built(
    settings: ModelSettings,
    shape: ImageShape,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int,
    cosine_scale: float | None,
) -> Classifier:
    # devices=[] and the CPU's own generator: a GPU's global generator stays untouched as well.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = settings.build(shape)
        head = network.head if cosine_scale is None else CosineHead(network.head, cosine_scale)
    return Classifier(
        network.backbone,
        head,
        mean if network.mean is None else network.mean,
        std if network.std is None else network.std,
    )


def build_from_weights(
    settings: ModelSettings, weights: Mapping[str, Any], cosine_scale: float | None = None
) -> Classifier:
    """Return the classifier with these weights, which may come from anybody, on the CPU.

    Nothing large is allocated for weights that do not fit.

    Args:
        settings: Which network.
        weights: The state dict as ``model``, with ``channels``, ``height`` and ``width`` of the
            images and ``num_classes``.
        cosine_scale: As in `build_classifier`.

    Raises:
        ValueError: They are no weights of this network; says what is wrong.
    """
    shape = {key: _count(weights, key) for key in ("channels", "height", "width", "num_classes")}
    if shape["channels"] * shape["height"] * shape["width"] > _MOST_PIXELS:
        raise ValueError(f"an image would have more than {_MOST_PIXELS} values")
    state = _checked_state(weights.get("model"), shape)
    channels = shape["channels"]
    image_shape = ImageShape(**shape, weights_follow=True)
    mean, std = [0.0] * channels, [1.0] * channels  # the buffers come with the weights
    make = partial(_built, settings, image_shape, mean, std, 0, cosine_scale)
    if settings.computes_when_built:
        check_size(settings, image_shape)
    else:
        with torch.device("meta"):
            _check_shapes(make().state_dict(), state)
    model = make()
    model.load_state_dict(state)
    return model


def _count(weights: Mapping[str, Any], key: str) -> int:
    value = weights.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{key} is not a number above 0")
    return value


def _checked_state(state: Any, shape: Mapping[str, int]) -> dict[str, torch.Tensor]:
    """Return ``state``; raise ValueError unless it has ordinary tensors of as many classes."""
    if not isinstance(state, Mapping):
        raise ValueError("model is no state dict")
    for name, tensor in state.items():
        if not isinstance(name, str) or not _is_ordinary(tensor):
            raise ValueError(f"model has {name!r:.50}, which is not the name of a weight")
    for name, side, key in (("head.weight", 0, "num_classes"), ("mean", 1, "channels")):
        if name not in state or state[name].shape[side : side + 1] != (shape[key],):
            raise ValueError(f"{name} does not fit {key}, which is {shape[key]}")
    return dict(state)


def _is_ordinary(tensor: Any) -> bool:
    is_dense = isinstance(tensor, torch.Tensor) and tensor.layout is torch.strided
    return is_dense and not (tensor.is_quantized or tensor.is_nested or tensor.is_complex())


def _check_shapes(wanted: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> None:
    """Raise ValueError where the network, made without memory for its weights, has other shapes."""
    for name in [*wanted, *state]:
        here, there = (tuple(x[name].shape) if name in x else None for x in (state, wanted))
        if here != there:
            raise ValueError(f"{name} has the shape {here}, expected {there}")
