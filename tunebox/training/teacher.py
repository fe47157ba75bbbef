"""The teacher of loss terms: a moving average of the model."""

from __future__ import annotations

from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tunebox.models.base import Classifier


def build_teacher(model: Classifier, decay: float | None) -> AveragedModel | None:
    """Return the exponential average of weights and statistics, in evaluation mode.

    The first update copies the model, and each later one keeps the share ``decay`` of the average.
    Its number of updates stays on the CPU, so that no update waits for a GPU.

    Args:
        model: On its device; it stays as it is.
        decay: In [0, 1); None if there is no teacher.
    """
    if decay is None:
        return None
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    teacher = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
    teacher.requires_grad_(False)
    return teacher.eval()


def averaged(teacher: AveragedModel | None) -> Classifier | None:
    """Return the classifier with the averaged weights, None without a teacher."""
    if teacher is None:
        return None
    assert isinstance(teacher.module, Classifier)
    return teacher.module
