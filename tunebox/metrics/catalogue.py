"""All metrics by name. Imports no torch."""

import pkgutil
from dataclasses import replace
from functools import cache
from importlib import import_module

from tunebox import metrics
from tunebox.metrics.metric import Metric
from tunebox.metrics.settings import MetricSettings, ModelMetricSettings


def _of_predictions() -> list[Metric]:
    """Return the metrics in ``METRICS`` of each module beside this one."""
    names = [module.name for module in pkgutil.iter_modules(metrics.__path__)]
    modules = [import_module(f"tunebox.metrics.{name}") for name in names if name != "catalogue"]
    return [metric for module in modules for metric in getattr(module, "METRICS", ())]


# computed from predictions on the validation set, if `evaluation/metrics` names them
COMPUTED: dict[str, Metric] = {
    f"{images}_{metric.name}": replace(
        metric, name=f"{images}_{metric.name}", meaning=f"{metric.meaning}{where}"
    )
    for metric in _of_predictions()
    for images, where in (
        ("clean", ""),
        ("noisy", ", under the noise of `evaluation`, over all of its draws"),
    )
}

# measured by the training loop and always reported
MEASURED: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "train_loss", "mean weighted loss over the batches of the epoch", "loss", "minimize"
        ),
        Metric("learning_rate", "learning rate of the last batch of the epoch", "1", None),
        Metric(
            "train_seconds",
            "time of training and evaluation since epoch 0, over all resumes",
            "seconds",
            "minimize",
        ),
        Metric(
            "images_per_second",
            "training images of the epoch divided by the time of its batches",
            "images/s",
            "maximize",
        ),
        Metric("parameters", "trainable numbers of the model", "numbers", "minimize"),
    )
}

# reported as 1 in the last epoch of a trial whose loss exploded while its model guesses
COLLAPSED = "collapsed"
# before the name of a metric: measured on the test set, by a confirmation
TEST = "test_"
TEST_IMAGES = f"{TEST}images"  # how many there are
# after the name of a metric: its standard deviation over the folds of a cross-validation
FOLD_STD = "_fold_std"
# what `tunebox evaluate` measures if it is asked to
EXTRA_PARTS = ("corruptions", "attacks", "certified", "correct_times", "membership")
DEFAULT_COMPUTED = ("clean_accuracy", "noisy_accuracy", "clean_loss", "noisy_loss")


@cache
def of_model() -> dict[str, Metric]:
    """Return the metrics of kinds that need the model, under their usual names."""
    kinds = MetricSettings.kinds().values()
    parts = [part for part in kinds if issubclass(part, ModelMetricSettings)]
    return {metric.name: metric for part in parts for metric in part.reported}


def find_metric(name: str) -> Metric | None:
    """Return the metric ``name``, None if it is unknown.

    ``<metric>_fold_std`` is the standard deviation of a metric over the folds of a
    cross-validation.
    ``train_<term>`` is the unweighted mean of a loss term over the epoch, so less is better.
    """
    known = COMPUTED.get(name) or MEASURED.get(name) or of_model().get(name)
    if known is None and name.startswith("train_"):
        meaning = f"mean unweighted {name.removeprefix('train_')} over the batches of the epoch"
        return Metric(name, meaning, "loss", "minimize")
    averaged = find_metric(name.removesuffix(FOLD_STD)) if name.endswith(FOLD_STD) else None
    if averaged is not None:
        meaning = f"standard deviation of {averaged.name} over the folds"
        return Metric(name, meaning, averaged.unit, None)
    return known
