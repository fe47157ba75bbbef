"""Networks from timm (R. Wightman, PyTorch Image Models)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from tunebox.errors import describe_error, first_line, reading
from tunebox.models.registered import check_name, is_installed
from tunebox.models.settings import ImageShape, ModelSettings, Network

if TYPE_CHECKING:
    from torch import nn


class TimmSettings(ModelSettings):
    """A network from timm, adapted to the images and classes of the data."""

    computes_when_built = True

    kind: Literal["timm"]
    name: str  # optionally with .tag, which selects pretrained weights
    pretrained: bool | str = False  # true: timm's weights, from its cache or hub; or a file
    drop_rate: float | None = Field(None, ge=0, lt=1)  # null: the default of the network
    drop_path_rate: float | None = Field(None, ge=0, lt=1)
    global_pool: str | None = None

    @field_validator("kind")
    @classmethod
    def _timm_is_installed(cls, kind: str) -> str:
        if not is_installed("timm"):
            hint = "timm is not installed; pip install 'tunebox[timm]'"
            raise PydanticCustomError("not_installed", "{hint}", {"hint": hint})
        return kind

    @field_validator("name")
    @classmethod
    def _name_is_known(cls, name: str) -> str:
        if is_installed("timm"):
            check_name("timm", name.partition(".")[0])
        return name

    def build(self, shape: ImageShape) -> Network:
        """Return the network on the CPU; pretrained networks keep their input normalisation."""
        from tunebox.models.split import split_network

        if isinstance(self.pretrained, str) and not shape.weights_follow:
            with reading(self.pretrained, problem="cannot be used as weights"):
                made = self._create(shape)
        else:
            made = self._create(shape)
        network = split_network(made, _head_of(made), shape)
        if not self.pretrained or shape.channels != 3:
            return network
        return network._replace(mean=made.pretrained_cfg["mean"], std=made.pretrained_cfg["std"])

    def _create(self, shape: ImageShape) -> Any:
        import timm

        options: dict[str, Any] = {
            "num_classes": shape.num_classes,
            "in_chans": shape.channels,
            "drop_rate": self.drop_rate,
            "drop_path_rate": self.drop_path_rate,
            "global_pool": self.global_pool,
            **self._weights(shape),
        }
        options = {key: value for key, value in options.items() if value is not None}
        overlay = options.get("pretrained_cfg_overlay")
        try:
            if timm.get_pretrained_cfg(self.name).fixed_input_size:
                options["img_size"] = (shape.height, shape.width)
            made = timm.create_model(self.name, **options)
        except (OSError, RuntimeError, ValueError, TypeError, AssertionError) as error:
            raise ValueError(f"timm cannot make {self.name}: {first_line(error)}") from error
        if overlay is not None:
            self._check_names(made, overlay["state_dict"])
        return made

    def _check_names(self, made: nn.Module, weights: dict[str, Any]) -> None:
        """Refuse weights of another network, which timm leaves out without an error."""
        wanted = set(made.state_dict())
        found = len(wanted & set(weights))
        if 2 * found < len(wanted):
            raise ValueError(
                f"pretrained: {self.pretrained} has {found} of the {len(wanted)} weights of "
                f"{self.name}"
            )

    def _weights(self, shape: ImageShape) -> dict[str, Any]:
        """Return the options that tell timm which weights to load."""
        if not self.pretrained or shape.weights_follow:
            return {}
        if self.pretrained is True:
            return {"pretrained": True}
        return {"pretrained": True, "pretrained_cfg_overlay": self._file(self.pretrained)}

    def _file(self, written: str) -> dict[str, Any]:
        """Return a pretrained config for timm, with the number of classes in the file."""
        import timm
        from timm.models import load_state_dict

        path = Path(written).expanduser()
        try:
            # the default of older versions of timm would run what is pickled
            weights = load_state_dict(str(path), weights_only=True)
        except Exception as error:  # from pickle, zip or safetensors, depending on the file
            reason = describe_error(error)
            raise ValueError(f"pretrained: {path} cannot be read: {reason}") from error
        found: dict[str, Any] = {"state_dict": weights, "label_offset": 0, "custom_load": False}
        head = timm.get_pretrained_cfg(self.name).classifier
        bias = weights.get(f"{head}.bias") if isinstance(head, str) else None
        return found if bias is None else {**found, "num_classes": len(bias)}


def _head_of(network: Any) -> str | None:
    """Return the name of timm's classifier layer, None if there are several."""
    head: nn.Module = network.get_classifier()
    return next((name for name, layer in network.named_modules() if layer is head), None)
