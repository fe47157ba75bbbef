"""Folders of exported models: the fixed trial, its weights, what they are for, and a card.

Version 0.1.0 had the weights in ``weights.pt``, where training loops of the user's own still have
what they saved, and ``origin.json`` in place of ``model.json``.
"""

import hashlib
import io
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebox.errors import RecordsError, SearchFileError, reading
from tunebox.parts.code import write_code
from tunebox.records.checkpoints import has_format, read_torch_file
from tunebox.records.files import read_json, write_json
from tunebox.records.model_json import (
    MODEL_FILE,
    TENSORS_FILE,
    Origin,
    read_classifier,
    read_origin,
)
from tunebox.spec.search_settings import check_name
from tunebox.text import shell_command

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.models.base import Classifier
    from tunebox.models.trained import ModelFormat, TrainedClassifier
    from tunebox.spec.search_spec import SearchSpec

TRIAL_FILE, WEIGHTS_FILE = "trial.yaml", "weights.pt"
CARD_FILE = "README.md"  # the name under which model hubs show it
CODE_FOLDER, _ORIGIN_FILE = "code", "origin.json"
_FORMAT = 1


def check_target(to: Path) -> None:
    """Raise RecordsError if ``to`` exists."""
    if to.exists() or to.is_symlink():
        raise RecordsError(f"{to} exists already; choose a folder that does not exist")


def write_model_folder(
    to: Path,
    *,
    trial_yaml: str,
    weights: dict[str, Any] | None,
    card: str,
    description: Mapping[str, Any],
    code: Mapping[str, bytes] | None = None,
    files: Sequence[Path] = (),
) -> None:
    """Write a model to the new folder ``to``, atomically.

    Args:
        to: Folder to write, which must not exist; its parents are made.
        trial_yaml: The trial as a search file without distributions.
        weights: The state dict as ``model``, or what a training loop of the user's own saved as
            ``saved``. None writes no weights.
        card: Text in Markdown.
        description: What `describe_model` gave; the checksums of files are added.
        code: Files of code of the user's own that the model is made of, by their path; None for
            none.
        files: Further files, which are copied.

    Raises:
        RecordsError: ``to`` exists, or cannot be written.
    """
    check_target(to)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=to.parent, prefix=f".{to.name}."))
        try:
            (temporary / TRIAL_FILE).write_text(trial_yaml, encoding="utf-8")
            (temporary / CARD_FILE).write_text(card, encoding="utf-8")
            for path in files:
                shutil.copyfile(path, temporary / path.name)
            known = dict(description["files"])
            if weights is not None:
                known.setdefault(_save_weights(weights, temporary).name, {})
            for name in known:
                known[name] = {**known[name], "sha256": _sha256(temporary / name)}
            write_json(temporary / MODEL_FILE, {**description, "files": known})
            write_code(code or {}, temporary / CODE_FOLDER)
            temporary.chmod(0o755)  # mkdtemp lets only the owner in
            temporary.rename(to)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise RecordsError(f"{to} cannot be written: {error.strerror or error}") from error


def _save_weights(weights: Mapping[str, Any], folder: Path) -> Path:
    """Write the weights into ``folder`` and return the file."""
    import torch

    if "model" not in weights:  # of a loop of the user's own: any plain data
        buffer = io.BytesIO()  # torch's own writer does not report a full disk
        torch.save({"format": _FORMAT, **weights}, buffer)
        path = folder / WEIGHTS_FILE
        path.write_bytes(buffer.getvalue())
        return path
    path = folder / TENSORS_FILE
    path.write_bytes(tensors_as_bytes(weights["model"]))
    return path


def tensors_as_bytes(state: "Mapping[str, Tensor]") -> bytes:
    """Return the content of a file of safetensors.

    Raises:
        Exception: A tensor is of a kind that the format lacks.
    """
    import torch
    from safetensors.torch import save

    # each on its own: tensors that share memory are refused, and so are other orders of memory
    plain = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in state.items()
    }
    return bytes(save(plain, {"format": "pt"}))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_model(folder: Path | str, *, trust_code: bool = False) -> "TrainedClassifier":
    """Return the exported model in ``folder``, on the CPU and in eval mode.

    The model maps float images in [0, 1], ``(N, C, H, W)``, to logits, ``(N, num_classes)``, and
    normalises its input itself. It refuses images of another type, shape or range. Its ``predict``
    returns class names and probabilities. A model of tunebox 0.1.0 has no class names: numbers are
    used instead, with a warning.

    Args:
        folder: Folder that `tunebox.export` or `tunebox.train` wrote.
        trust_code: Whether code of the user's own that came with the model may run. Without it
            that code must be installed, or be importable from its original place.

    Raises:
        RecordsError: The folder is not an exported model, or its weights are damaged.
    """
    from tunebox.models.trained import TrainedClassifier

    model, format = load_classifier(folder, trust_code=trust_code)
    if not format.records_names:
        warnings.warn(
            f"{folder} was written by tunebox 0.1.0, which recorded no names of classes: they are "
            f"called 0 to {format.num_classes - 1}, in the order of the training data",
            stacklevel=2,
        )
    return TrainedClassifier(model, format).eval()


def load_classifier(
    folder: Path | str, *, trust_code: bool = False
) -> tuple["Classifier", "ModelFormat"]:
    """Return an exported model that does not check its images, and what it takes.

    Otherwise as `load_model`.
    """
    folder = Path(folder)
    _check_folder(folder)
    from tunebox.models.build import build_from_weights
    from tunebox.models.trained import ModelFormat

    spec = exported_spec(folder, trust_code=trust_code)
    if spec.space.leaves:
        raise RecordsError(f"{folder / TRIAL_FILE} has distributions; a model is one fixed trial")
    config = spec.trial_config({})
    path, weights = _read_weights(folder)
    with reading(path, problem=f"does not fit {TRIAL_FILE}"):
        format = ModelFormat.of(weights)
        model = build_from_weights(config.model, weights, config.losses.cosine_scale)
    return model.eval(), format


def _check_folder(folder: Path) -> None:
    has_weights = has_model_weights(folder)
    for name, is_there in (
        (TRIAL_FILE, (folder / TRIAL_FILE).is_file()),
        (TENSORS_FILE, has_weights),
    ):
        if not is_there:
            raise RecordsError(
                f"{folder} is not an exported model: it has no {name}; {_how_to_make(folder)}"
            )


def has_model_weights(folder: Path) -> bool:
    """Return whether there are weights in the folder of an exported trial, of any version."""
    return any((folder / name).is_file() for name in (TENSORS_FILE, WEIGHTS_FILE))


def origin_of(folder: Path) -> Origin:
    """Return the search and the trial that the model in ``folder`` is from.

    Raises:
        RecordsError: The file that says so is damaged.
    """
    if (folder / MODEL_FILE).exists():
        return read_origin(folder / MODEL_FILE)
    path = folder / _ORIGIN_FILE
    if not path.exists():
        return Origin()
    advice = "it names the search of the model; export the trial again"
    with reading(path, advice=advice):
        name = str(read_json(path, _FORMAT)["search"])
        check_name(name)  # it is the name of a folder
        return Origin(name, folder.resolve().name)  # as the export called it


def exported_spec(folder: Path, *, trust_code: bool) -> "SearchSpec":
    """Return the trial of an exported model, as `load_model` reads it.

    Raises:
        SearchFileError: It is damaged, or code of the user's own is missing; says where it is.
    """
    from tunebox.spec.load import load_spec

    code = folder / CODE_FOLDER
    try:
        return load_spec(str(folder / TRIAL_FILE), code=code if trust_code else None)
    except SearchFileError as error:
        if trust_code or not code.is_dir():
            raise
        raise SearchFileError(
            f"{error}; the code that it was trained with is in {code}: to run it, "
            "trust_code=True, or --trust-code"
        ) from error


def _how_to_make(folder: Path) -> str:
    if (folder / TRIAL_FILE).is_file():
        return f"make a model with: {shell_command('tunebox', 'train', folder / TRIAL_FILE)}"
    return "tunebox export and tunebox train write such folders"


def _read_weights(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return the file with the weights, and the weights with what `ModelFormat.of` reads."""
    path = folder / TENSORS_FILE
    if not path.is_file():
        return folder / WEIGHTS_FILE, _read_old_weights(folder / WEIGHTS_FILE)
    from safetensors.torch import load

    known = read_classifier(folder / MODEL_FILE)
    with reading(path):
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != known["sha256"].get(TENSORS_FILE):
            raise RecordsError(f"its checksum is not the one in {MODEL_FILE}; copy it again")
        return path, {**known, "model": load(content)}


def _read_old_weights(path: Path) -> dict[str, Any]:
    content = read_torch_file(path)
    if not has_format(content, _FORMAT):
        raise RecordsError(f"{path} has format {content.get('format')!r:.20}; update tunebox")
    return content
