"""Runs user-defined parts on a few images, to find mistakes before a search starts.

Shapes: B images, C channels, H x W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tunebox.data.image_set import ImageSet, to_unit_range
from tunebox.data.parts import load_training_parts
from tunebox.errors import TuneboxError, first_line
from tunebox.losses.base import LossTerm
from tunebox.losses.settings import TermContext
from tunebox.metrics.settings import OwnMetricSettings
from tunebox.models.base import Classifier
from tunebox.models.build import build_classifier
from tunebox.noise.base import Perturbation
from tunebox.noise.settings import NoiseSettings
from tunebox.optim.settings import build_optimizer
from tunebox.parts.code import OwnCodeError
from tunebox.parts.own import location
from tunebox.parts.part import Part
from tunebox.spec.trial_config import TrialConfig
from tunebox.training.draws import EpochDraws
from tunebox.training.views import ViewMaker

_TRIED = 4  # number of images


class OwnPartTrouble(TuneboxError):
    """A user-defined part does not do what its group requires.

    Attributes:
        path: Path of the part in the trial.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


def try_own_parts(config: TrialConfig) -> None:
    """Run each user-defined part in ``config`` once, on the GPU if there is one.

    Raises:
        OwnPartTrouble: A part fails or returns something invalid; the message names it and says
            where its code is and what was expected.
        DataError: The images do not exist.
    """
    parts = _attempt("data", config.data, lambda: load_training_parts(config.data))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    few = parts.train.select(torch.arange(min(len(parts.train), _TRIED))).to(device)
    images = to_unit_range(few.images, few.bits)
    model = _attempt("model", config.model, lambda: _build(config, few))
    if config.augmentation.code is not None:
        build = partial(config.augmentation.build, few.bits)
        augment = _attempt("augmentation", config.augmentation, build)
        _try_images("augmentation", config.augmentation, few.images, augment, changes_dtype=True)
    for path, noise in _noises(config):
        perturb: Perturbation = _attempt(path, noise, noise.build)
        _try_images(path, noise, images, perturb)
    _try_terms(config, model, few)
    _try_metrics(config, model, few)
    optimizer = _attempt(
        "optimizer", config.optimizer, lambda: build_optimizer(config.optimizer, model.parameters())
    )
    schedule = _attempt("schedule", config.schedule, lambda: config.schedule.build(optimizer, 10))
    _expect("schedule", config.schedule, schedule, torch.optim.lr_scheduler.LRScheduler)


def _build(config: TrialConfig, few: ImageSet) -> Classifier:
    channels, height, width = few.image_shape
    return build_classifier(
        config.model,
        channels=channels,
        height=height,
        width=width,
        num_classes=few.num_classes,
        mean=[0.5] * channels,
        std=[0.5] * channels,
        seed=0,
        cosine_scale=config.losses.cosine_scale,
    ).to(few.images.device)


def _noises(config: TrialConfig) -> Iterator[tuple[str, NoiseSettings]]:
    for path, noise in (
        ("losses/noise", config.losses.noise),
        ("evaluation/noise", config.evaluation.noise),
    ):
        if noise is not None and noise.code is not None:
            yield path, noise


def _try_images(
    path: str,
    part: Part,
    images: Tensor,
    change: Callable[[Tensor, torch.Generator], Any],
    changes_dtype: bool = False,
) -> None:
    before = images.clone()
    changed = _attempt(
        path, part, lambda: change(images, torch.Generator(images.device).manual_seed(0))
    )
    _expect(path, part, changed, Tensor)
    if changed.shape != images.shape:
        raise _trouble(
            path, part, f"returns {tuple(changed.shape)}, expected the shape {tuple(images.shape)}"
        )
    if not changed.is_floating_point() or (changed.dtype != images.dtype and not changes_dtype):
        raise _trouble(path, part, f"returns {changed.dtype}, expected torch.float32")
    if changed.device != images.device:
        raise _trouble(path, part, f"returns images on {changed.device}, expected {images.device}")
    if not bool(changed.isfinite().all()):
        raise _trouble(path, part, "returns values that are not finite")
    if not torch.equal(images, before):
        raise _trouble(path, part, "changes its input in place; return new images instead")


def _try_terms(config: TrialConfig, model: Classifier, few: ImageSet) -> None:
    own = {name: term for name, term in config.losses.terms.items() if term.code is not None}
    if not own:
        return
    views = ViewMaker(config, model, few.bits)
    draws = EpochDraws.of_epoch(0, 0, few.images.device)
    step = views.make(few.images, few.labels, torch.arange(len(few)), 0.0, draws)
    for name, settings in own.items():
        if settings.weight == 0:
            continue
        path = f"losses/{name}"
        context = TermContext(few.num_classes, model.head.in_features, len(few))
        term: LossTerm = _attempt(path, settings, partial(settings.build, context))
        value = _attempt(path, settings, partial(term, step))
        _expect(path, settings, value, Tensor)
        if value.shape != ():
            raise _trouble(path, settings, f"returns {tuple(value.shape)}, expected a scalar")
        if not bool(value.isfinite()):
            raise _trouble(path, settings, f"returns {value.item():g}, expected a finite number")
        if not value.requires_grad:
            raise _trouble(path, settings, "returns a value without a gradient")


def _try_metrics(config: TrialConfig, model: Classifier, few: ImageSet) -> None:
    for metric in config.evaluation.metrics:
        if not isinstance(metric, OwnMetricSettings):
            continue
        path = "evaluation/metrics"
        with torch.no_grad():
            logits = model.eval()(to_unit_range(few.images, few.bits))
        value = _attempt(path, metric, partial(metric.call, logits=logits, labels=few.labels))
        if isinstance(value, Tensor):
            raise _trouble(path, metric, "returns a tensor, expected a number: float(value)")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _trouble(path, metric, f"returns {type(value).__name__}, expected a number")


def _attempt(path: str, part: Part, run: Callable[[], Any]) -> Any:
    """Return the result of ``run``; an error in user code becomes an `OwnPartTrouble`."""
    try:
        return run()
    except (OwnPartTrouble, OwnCodeError):
        raise
    except Exception as error:
        if part.code is None:
            raise
        kind = "" if isinstance(error, ValueError | TuneboxError) else f"{type(error).__name__}: "
        raise _trouble(path, part, f"{_line_of(error, part)}{kind}{first_line(error)}") from error


def _line_of(error: Exception, part: Part) -> str:
    """Return the line at which ``error`` was raised in the file of the part, as a prefix."""
    module = getattr(part.code, "__module__", "")
    trace = error.__traceback__
    line = None
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") == module:
            line = trace.tb_lineno
        trace = trace.tb_next
    return "" if line is None else f"line {line}: "


def _expect(path: str, part: Part, value: Any, wanted: type[Any]) -> None:
    if not isinstance(value, wanted):
        raise _trouble(path, part, f"returns {type(value).__name__}, expected a {wanted.__name__}")


def _trouble(path: str, part: Part, message: str) -> OwnPartTrouble:
    where = location(part.code)
    short = where.replace(f"{Path.cwd()}/", "")
    return OwnPartTrouble(path, f"{short}: {message}")
