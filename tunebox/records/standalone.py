"""An exported model as a file that needs no tunebox: only torch, or a runtime of ONNX.

The file maps images to logits and does not check them: `tunebox.records.model_json` has what they
must be like. Shapes: N images, C channels, H x W pixels, K classes.
"""

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from tunebox.errors import RecordsError, describe_error

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.models.base import Classifier

StandaloneFormat = Literal["torch_export", "onnx", "torchscript"]
FORMATS: tuple[StandaloneFormat, ...] = get_args(StandaloneFormat)
FILES: dict[StandaloneFormat, str] = {
    "torch_export": "model.pt2",
    "onnx": "model.onnx",
    "torchscript": "model.torchscript",
}
NUM_CHECKED = 64  # images
# of the largest logit: what another order of the same sums may change in float32
_TOLERANCE = 1e-4
_ONNX = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Standalone:
    """A file that was written and compared with the model.

    Attributes:
        format: Its format.
        path: Where it lies.
        num_images: With how many images it was compared.
        difference: The largest difference of a logit.
    """

    format: StandaloneFormat
    path: Path
    num_images: int
    difference: float


def checked_format(format: str) -> StandaloneFormat:
    """Return ``format`` if it can be written here.

    Raises:
        RecordsError: There is no such format, or what writes it is not installed.
    """
    found = next((known for known in FORMATS if known == format), None)
    if found is None:
        raise RecordsError(f"no format {format!r}; choose one of {', '.join(FORMATS)}")
    missing = [name for name in _ONNX if importlib.util.find_spec(name) is None]
    if format == "onnx" and missing:
        raise RecordsError(
            f"ONNX needs {', '.join(missing)}: install them with pip install 'tunebox[onnx]'"
        )
    return found


def write_standalone(
    model: "Classifier", image_shape: tuple[int, int, int], format: StandaloneFormat, folder: Path
) -> Standalone:
    """Write ``model`` as a file in ``folder``, read it again, and compare it with the model.

    It takes any number of images at once. The images of the comparison are random, of different
    brightness and contrast; they go through the file all at once and the first one alone.

    Args:
        model: The classifier, on the CPU.
        image_shape: Channels, height and width.
        format: Format of the file.
        folder: Where it is written, under its name in `FILES`.

    Raises:
        RecordsError: The model cannot be written in this format, or the file gives other logits.
    """
    import torch

    model = model.eval()
    path = folder / FILES[format]
    images = _images(image_shape)
    try:
        with _quietly(), torch.no_grad():
            expected = model(images)
            _WRITERS[format](model, images[:2], path)
            read = _READERS[format](path)
            found = torch.cat([read(images), read(images[:1])])
    except Exception as error:  # a network of the user's own may do anything
        path.unlink(missing_ok=True)
        raise RecordsError(
            f"the model cannot be written as {format}: {describe_error(error)}"
        ) from error
    difference = float((found - torch.cat([expected, expected[:1]])).abs().max())
    if not difference <= _TOLERANCE * max(1.0, float(expected.abs().max())):  # also for NaN
        path.unlink(missing_ok=True)
        raise RecordsError(
            f"written as {format}, the model gives logits that differ by up to {difference:.3g} on "
            f"{NUM_CHECKED} images; the file is left out"
        )
    return Standalone(format, path, NUM_CHECKED, difference)


def _images(image_shape: tuple[int, int, int]) -> "Tensor":
    import torch

    generator = torch.Generator().manual_seed(0)
    images = torch.rand(NUM_CHECKED, *image_shape, generator=generator)
    low, high = torch.rand(2, NUM_CHECKED, 1, 1, 1, generator=generator).sort(dim=0).values
    spread: Tensor = low + (high - low) * images
    return spread


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what torch says of its own future, and its steps, out of the way of the user."""
    import logging

    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _write_torch_export(model: "Classifier", images: "Tensor", path: Path) -> None:
    import torch

    torch.export.save(_program(model, images), path)


def _program(model: "Classifier", images: "Tensor") -> Any:
    import torch

    shapes = {"images": {0: torch.export.Dim.DYNAMIC}}
    return torch.export.export(model, (images,), dynamic_shapes=shapes)


def _read_torch_export(path: Path) -> Callable[["Tensor"], "Tensor"]:
    import torch

    return _called(torch.export.load(path).module())


def _called(module: Any) -> Callable[["Tensor"], "Tensor"]:
    def run(images: "Tensor") -> "Tensor":
        logits: Tensor = module(images)
        return logits

    return run


def _write_torchscript(model: "Classifier", images: "Tensor", path: Path) -> None:
    import torch

    # compared with the model afterwards, as a file
    traced: Any = torch.jit.trace(model, images, check_trace=False)  # type: ignore[no-untyped-call]
    traced.save(str(path))


def _read_torchscript(path: Path) -> Callable[["Tensor"], "Tensor"]:
    import torch

    return _called(torch.jit.load(str(path)))  # type: ignore[no-untyped-call]


def _write_onnx(model: "Classifier", images: "Tensor", path: Path) -> None:
    import torch

    torch.onnx.export(
        model,
        (images,),
        str(path),
        dynamo=True,
        dynamic_shapes={"images": {0: torch.export.Dim.DYNAMIC}},
        input_names=["images"],
        output_names=["logits"],
        external_data=False,  # one file
        verbose=False,
    )


def _read_onnx(path: Path) -> Callable[["Tensor"], "Tensor"]:
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(images: "Tensor") -> "Tensor":
        [logits] = session.run(["logits"], {"images": images.numpy()})
        return torch.from_numpy(logits)

    return run


_WRITERS: dict[StandaloneFormat, Callable[["Classifier", "Tensor", Path], None]] = {
    "torch_export": _write_torch_export,
    "onnx": _write_onnx,
    "torchscript": _write_torchscript,
}
_READERS: dict[StandaloneFormat, Callable[[Path], Callable[["Tensor"], "Tensor"]]] = {
    "torch_export": _read_torch_export,
    "onnx": _read_onnx,
    "torchscript": _read_torchscript,
}
