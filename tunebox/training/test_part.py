"""Metrics of a trained model on the test set, for confirmations of a search."""

from __future__ import annotations

import functools

from tunebox.data.parts import open_test_part
from tunebox.data.settings import DataSettings
from tunebox.data.stored_set import AnyImageSet
from tunebox.errors import DataError
from tunebox.metrics.catalogue import TEST, TEST_IMAGES
from tunebox.models.base import Classifier
from tunebox.spec.trial_config import TrialConfig
from tunebox.training.evaluate import Evaluator


def measure_test_part(model: Classifier, config: TrialConfig) -> dict[str, float]:
    """Return the metrics of ``evaluation/metrics`` on the test set, as ``test_<metric>``.

    ``test_images`` is the number of its images. The noise is that of the settings, as on the
    validation set.

    Raises:
        DataError: The test set is absent or damaged, or has classes that the model lacks.
    """
    test = _test_part(config.data)
    if test.num_classes > model.head.out_features:
        raise DataError(
            f"the test set has {test.num_classes} classes, the model {model.head.out_features}; "
            "give it test images of the same classes"
        )
    evaluate = Evaluator(test.to(model.mean.device), config.evaluation)
    measured = {f"{TEST}{name}": value for name, value in evaluate(model).items()}
    return {**measured, TEST_IMAGES: float(len(test))}


@functools.lru_cache(maxsize=1)
def _test_part(settings: DataSettings) -> AnyImageSet:
    return open_test_part(settings)
