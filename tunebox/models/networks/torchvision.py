"""Image classifiers from torchvision."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator

from tunebox.errors import describe_error, first_line, reading
from tunebox.models.registered import check_name
from tunebox.models.settings import ImageShape, ModelSettings, Network

if TYPE_CHECKING:
    from torch import Tensor, nn


class TorchvisionSettings(ModelSettings):
    """A network from torchvision, adapted to the images and classes of the data."""

    computes_when_built = True

    kind: Literal["torchvision"]
    name: str
    weights: str | None = None  # a name such as IMAGENET1K_V1, or a file with a state dict

    @field_validator("name")
    @classmethod
    def _name_is_known(cls, name: str) -> str:
        check_name("torchvision", name)
        return name

    def build(self, shape: ImageShape) -> Network:
        """Return the network on the CPU; pretrained networks keep their input normalisation."""
        from tunebox.models.split import split_network

        network = self._create(shape)
        if self.weights is not None and not shape.weights_follow:
            with reading(self.weights, problem="cannot be used as weights"):
                _load(network, self._read(self.weights), shape.channels)
        made = split_network(network, None, shape)
        if self.weights is None or shape.channels != 3:
            return made
        from torchvision.models import get_model_weights

        colours = get_model_weights(self.name).DEFAULT.transforms()
        return made._replace(mean=colours.mean, std=colours.std)

    def _create(self, shape: ImageShape) -> nn.Module:
        from torchvision.models import get_model, get_model_builder

        options: dict[str, Any] = {"num_classes": shape.num_classes}
        if self.name in ("googlenet", "inception_v3"):  # auxiliary heads are for training only
            options |= {"aux_logits": False, "init_weights": True}
        if self.name.startswith("vit_"):
            options["image_size"] = shape.height
        if "input_size" in inspect.signature(get_model_builder(self.name)).parameters:
            options["input_size"] = (shape.height, shape.width)
        try:
            network: nn.Module = get_model(self.name, weights=None, **options)
        except (RuntimeError, ValueError, AssertionError) as error:
            raise ValueError(f"torchvision cannot make {self.name}: {first_line(error)}") from error
        if shape.channels != 3:
            _replace_first_convolution(network, shape.channels)
        return network

    def _read(self, written: str) -> dict[str, Tensor]:
        """Return the weights that the settings name."""
        import torch
        from torchvision.models import get_model, get_model_weights

        known = get_model_weights(self.name).__members__
        path = Path(written).expanduser()
        if written not in known and not path.is_file():
            raise ValueError(
                f"weights: got {written!r}, neither a file nor one of {', '.join(known)}"
            )
        try:
            if written in known:  # through a network, which renames weights of old versions
                return dict(get_model(self.name, weights=known[written]).state_dict())
            return dict(torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:  # from pickle, zip or the network
            reason = describe_error(error)
            raise ValueError(f"weights: {written} cannot be read: {reason}") from error


def _replace_first_convolution(network: Any, channels: int) -> None:
    from torch import nn

    name, old = _first_convolution(network)
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        old.stride,  # type: ignore[arg-type]
        old.padding,  # type: ignore[arg-type]
        old.dilation,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, new)
    if hasattr(network, "transform_input"):
        network.transform_input = False  # it needs three colour channels


def _first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d]:
    from torch import nn

    return next(
        (name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)
    )


def _load(network: nn.Module, weights: dict[str, Tensor], channels: int) -> None:
    """Load pretrained weights, except a head for other classes and auxiliary heads.

    If the number of channels differs, the filters of the first convolution are summed over their
    channels and divided evenly among the new ones.
    """
    from torch import nn

    first = f"{_first_convolution(network)[0]}.weight"
    if first in weights and weights[first].shape[1] != channels:
        grey = weights[first].sum(1, keepdim=True)
        weights[first] = grey.expand(-1, channels, -1, -1) / channels
    wanted = network.state_dict()
    names = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    head = {f"{names[-1]}.{key}" for key in ("weight", "bias")} if names else set()
    other = {key for key in head if key in weights and weights[key].shape != wanted[key].shape}
    kept = {key: value for key, value in weights.items() if key in wanted and key not in other}
    if missing := set(wanted) - set(kept) - head:
        raise ValueError(
            f"weights: they are of another network: {len(missing)} of {len(wanted)} are missing, "
            f"such as {min(missing)}"
        )
    try:
        network.load_state_dict(kept, strict=False)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise ValueError(f"weights: they do not fit: {lines[-1].strip()}") from error
