"""An exported model: a folder with the fixed trial, the weights and a card."""

import io
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebox.checkpoints import read_torch_file
from tunebox.errors import RecordsError, first_line

if TYPE_CHECKING:
    from tunebox.models.base import Classifier

TRIAL_FILE, WEIGHTS_FILE, CARD_FILE = "trial.yaml", "weights.pt", "card.md"
_FORMAT = 1
_SHAPE_KEYS = ("channels", "height", "width", "num_classes")


def check_target(to: Path) -> None:
    """Raise RecordsError if there is something at ``to`` already."""
    if to.exists() or to.is_symlink():
        raise RecordsError(f"{to} exists already; name a folder that does not")


def write_model_folder(
    to: Path, *, trial_yaml: str, weights: dict[str, Any] | None, card: str
) -> None:
    """Write a model to the new folder ``to``; it appears complete or not at all.

    Args:
        to: Does not exist; folders above it are made.
        trial_yaml: The trial as a search file without distributions.
        weights: ``model``, the state dict, and what it is for: ``channels``, ``height`` and
            ``width`` of the images and ``num_classes``. None: they were not kept.
        card: Markdown.

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
            if weights is not None:
                _save_weights(weights, temporary / WEIGHTS_FILE)
            temporary.chmod(0o755)  # mkdtemp lets only the owner in
            temporary.rename(to)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise RecordsError(f"{to} cannot be written: {error.strerror or error}") from error


def _save_weights(weights: dict[str, Any], path: Path) -> None:
    import torch

    kept = {key: weights[key] for key in (*_SHAPE_KEYS, "model")}
    buffer = io.BytesIO()  # torch's own writer does not say that a disk is full
    torch.save({"format": _FORMAT, **kept}, buffer)
    path.write_bytes(buffer.getvalue())


def load_model(folder: Path | str) -> "Classifier":
    """Return the exported model in ``folder``, on the CPU and in eval mode.

    It takes float images in [0, 1], ``(N, C, H, W)``, and gives logits, ``(N, num_classes)``;
    normalisation is part of it.

    Raises:
        RecordsError: The folder is not an exported model, or its weights are damaged.
    """
    folder = Path(folder)
    for name in (TRIAL_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise RecordsError(
                f"{folder} is not an exported model: it has no {name}; {_how_to_make(folder)}"
            )
    from tunebox.models.build import build_classifier
    from tunebox.spec.load import load_spec

    spec = load_spec(str(folder / TRIAL_FILE))
    if spec.space.leaves:
        raise RecordsError(f"{folder / TRIAL_FILE} has distributions; a model is one fixed trial")
    weights = _read_weights(folder / WEIGHTS_FILE)
    try:
        model = build_classifier(
            spec.trial_config({}).model,
            **{key: int(weights[key]) for key in _SHAPE_KEYS},
            mean=[0.0] * int(weights["channels"]),  # the buffers come with the weights
            std=[1.0] * int(weights["channels"]),
            seed=0,
        )
        model.load_state_dict(weights["model"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RecordsError(
            f"{folder / WEIGHTS_FILE} does not fit {TRIAL_FILE}: {first_line(error)}"
        ) from error
    return model.eval()


def _how_to_make(folder: Path) -> str:
    if (folder / TRIAL_FILE).is_file():
        return f"make a model with: tunebox train {folder / TRIAL_FILE}"
    return "tunebox export and tunebox train write such folders"


def _read_weights(path: Path) -> dict[str, Any]:
    content = read_torch_file(path)
    if content.get("format") != _FORMAT:
        raise RecordsError(f"{path} has format {content.get('format')}; update tunebox")
    return content
