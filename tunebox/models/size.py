"""Whether a model fits into the memory of this machine, found without building it."""

import os
from dataclasses import replace
from pathlib import Path

import torch

from tunebox.errors import TuneboxError
from tunebox.models.settings import ImageShape, ModelSettings

_LIMIT_OF_CONTAINER = Path("/sys/fs/cgroup/memory.max")  # of Linux's cgroup v2
_BYTES = 2 * 4  # of a parameter: itself and its gradient, in float32


def check_size(settings: ModelSettings, shape: ImageShape) -> None:
    """Refuse a model whose parameters and gradients do not fit into memory.

    A user-defined model is not checked: its code may need real tensors.

    Raises:
        TuneboxError: It does not fit; the message has the number of parameters.
    """
    if settings.code is not None:
        return
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        network = settings.build(replace(shape, weights_follow=True))
    modules = (network.backbone, network.head)
    num_parameters = sum(p.numel() for module in modules for p in module.parameters())
    needed, there = num_parameters * _BYTES, machine_memory()
    if needed > there:
        raise TuneboxError(
            f"the model does not fit into memory: {num_parameters:,} parameters and their "
            f"gradients need {needed / 1e9:.0f} GB, this machine has {there / 1e9:.0f} GB; "
            "choose a smaller model"
        )


def machine_memory() -> int:
    """Return the memory of this machine, or of this container, in bytes."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(total, int(_LIMIT_OF_CONTAINER.read_text()))
    except (OSError, ValueError):  # no such file, or no limit: "max"
        return total
