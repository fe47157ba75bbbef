"""``tunebox predict``: classes of image files by an exported model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tunebox.data.class_folders import images_below
from tunebox.data.decode import read_fitted
from tunebox.data.image_file import ImageFileError, ImageInfo
from tunebox.data.listing import FileItem
from tunebox.data.picture_settings import PictureSettings
from tunebox.data.pixels import row_of
from tunebox.data.read_files import BadFile, Read, read_files
from tunebox.data.sets.image_folder import ImageFolderSettings
from tunebox.errors import DataError, reading
from tunebox.records.model_folder import exported_spec, load_classifier
from tunebox.records.model_json import MODEL_FILE, read_classifier

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from tunebox.data.facts import DataFacts
    from tunebox.data.settings import DataSettings
    from tunebox.models.trained import ModelFormat, TrainedClassifier

_AT_ONCE = 256  # images


@dataclass(frozen=True)
class Prediction:
    """What a model makes of a file.

    Attributes:
        file: The image.
        class_name: The most probable class.
        probabilities: Of each class, by its name.
        unlike: A phrase for each way in which the image is unlike those of the training.
    """

    file: Path
    class_name: str
    probabilities: dict[str, float]
    unlike: list[str]

    @property
    def probability(self) -> float:
        """Probability of the most probable class."""
        return self.probabilities[self.class_name]


@dataclass
class PredictResult:
    """The predictions, the files that cannot be read, and other lines."""

    predictions: list[Prediction] = field(default_factory=list)
    bad: list[BadFile] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Image:
    """A file as the model gets it."""

    file: Path
    pixels: "Tensor"  # (C, H, W), float32 in [0, 1]
    has_colours: bool


def predict(
    folder: str | Path,
    images: Sequence[str | Path],
    *,
    trust_code: bool = False,
) -> PredictResult:
    """Return the classes and probabilities of image files.

    The files are read like the training images: bit depth, range, background and channels are
    those of the settings of the model, and the shorter side is resized to the model's input size.

    Args:
        folder: Exported model, as `tunebox.export` or `tunebox.train` writes it.
        images: Files, and folders, of which all images are used.
        trust_code: Whether code of the user's own that came with the model may run.

    Raises:
        TuneboxError: A mistake that the user can correct. A file that cannot be read raises
            no error: it is listed in ``bad``.
    """
    from tunebox.models.trained import TrainedClassifier

    folder = Path(folder)
    classifier, format = load_classifier(folder, trust_code=trust_code)
    config = exported_spec(folder, trust_code=trust_code).trial_config({})
    settings = _reading_settings(config.data, format)
    model, facts = TrainedClassifier(classifier, format).eval(), _facts(folder)
    result = PredictResult()
    if facts is None:
        result.warnings.append(
            f"{folder} has no record of the range of its training images: images unlike them are "
            "not marked; a search with this version records it"
        )
    files = list(_listed(images, result.bad))
    read = partial(_read_one, settings, format)
    waiting = iter(read_files(files, len(files), read))
    while some := list(islice(waiting, _AT_ONCE)):
        good = [_as_image(one) for one in some if one.result is not None]
        result.bad += [one.bad for one in some if one.bad is not None]
        result.predictions += _predicted(model, good, facts)
    return result


def _reading_settings(data: "DataSettings", format: "ModelFormat") -> PictureSettings:
    """Return how files are read for a model; any data set has files as a folder of images has."""
    if format.channels not in (1, 3):
        raise DataError(
            f"the model takes images of {format.channels} channels, and image files have 1 or 3; "
            "call tunebox.load_model from Python"
        )
    if isinstance(data, PictureSettings):
        return data.model_copy(update={"channels": format.channels})
    return ImageFolderSettings(
        kind="image_folder",
        root="",
        image_size=max(4, format.height),
        channels=1 if format.channels == 1 else 3,
    )


def _facts(folder: Path) -> "DataFacts | None":
    """Return what is known of the training images, None if nothing was recorded."""
    if not (folder / MODEL_FILE).exists():
        return None
    from tunebox.data.facts import DataFacts

    data = read_classifier(folder / MODEL_FILE)["data"]
    if "sha256" not in data:
        return None
    with reading(folder / MODEL_FILE):
        return DataFacts.read(data)


def _listed(images: Sequence[str | Path], bad: list[BadFile]) -> Iterator[Path]:
    for path in map(Path, images):
        if not path.is_dir():
            yield path
            continue
        found = images_below(path)
        if not found:
            bad.append(BadFile(str(path), "is a folder without images"))
        yield from found


def _read_one(
    settings: PictureSettings, format: "ModelFormat", path: Path
) -> "tuple[np.ndarray, int, ImageInfo]":
    """Return an image as the model gets it, ``(C, H, W)`` in integers, the depth of its white."""
    is_scaled = format.height == format.width == settings.image_side
    pixels, depth, info = read_fitted(
        settings, FileItem(path), settings.image_side if is_scaled else None
    )
    if pixels.shape[1:] != (format.height, format.width):
        height, width = pixels.shape[1:]
        raise ImageFileError(
            f"has {width}x{height} pixels, and the model takes {format.width}x{format.height}"
        )
    white = max(format.bits, depth) if settings.bits == "auto" else settings.bits
    return row_of(pixels, depth, len(pixels), white).copy(), white, info


def _as_image(read: "Read[tuple[np.ndarray, int, ImageInfo]]") -> _Image:
    import torch

    from tunebox.data.image_set import to_unit_range

    assert read.result is not None
    pixels, white, info = read.result
    has_colours = not info.mode.startswith(("1", "L", "I", "F")) or info.mode.endswith("RGB")
    return _Image(Path(read.name), to_unit_range(torch.from_numpy(pixels), white), has_colours)


def _predicted(
    model: "TrainedClassifier", images: Sequence[_Image], facts: "DataFacts | None"
) -> list[Prediction]:
    if not images:
        return []
    import torch

    found = model.predict(torch.stack([image.pixels for image in images]))
    names, predictions = model.class_names, []
    for image, name, row in zip(images, *found, strict=True):
        unlike = [] if facts is None else facts.unlike(image.pixels)
        if image.has_colours and model.format.channels == 1:
            unlike.append("has colours, which are made grey")
        probabilities = dict(zip(names, row.tolist(), strict=True))
        predictions.append(Prediction(image.file, name, probabilities, unlike))
    return predictions
