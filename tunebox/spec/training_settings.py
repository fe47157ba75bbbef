"""``training`` and ``evaluation`` in a search file."""

from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationInfo, field_validator, model_validator
from typing_extensions import Self

from tunebox.metrics.catalogue import COMPUTED, DEFAULT_COMPUTED, MEASURED
from tunebox.metrics.metric import Metric
from tunebox.metrics.settings import MetricSettings, ModelMetricSettings
from tunebox.noise.settings import NoiseSettings
from tunebox.parts.code import is_reference
from tunebox.settings import MOST_IMAGES, Seed, Settings


class TrainingSettings(Settings):
    """How the batch loop runs."""

    batch_size: int = Field(
        64, ge=2, le=MOST_IMAGES
    )  # the last, smaller batch of an epoch is left out
    seed: Seed | None = None  # null: from the seed of the search and the number of the trial
    # largest norm of the gradient of all parameters together; null: any
    clip_grad_norm: float | None = Field(None, gt=0, le=1e6)
    # auto: bfloat16 on a GPU, float32 on a CPU; losses and evaluations are always float32
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: bool = True  # memory order of convolutions; does not change the mathematics


class EvaluationSettings(Settings):
    """The noise on validation images: the same for all trials, whatever they train with."""

    noise: NoiseSettings
    num_draws: int = Field(1, ge=1, le=10_000)  # noisy copies of each validation image
    seed: Seed = 0
    batch_size: int = Field(1024, ge=1, le=MOST_IMAGES)
    # folds that are the validation set in turn, a model for each; null: one validation set
    cross_validation: int | None = Field(None, ge=2, le=100)
    # names of metrics of predictions; kinds with settings; references to the user's own
    metrics: list[str | MetricSettings] = Field(list(DEFAULT_COMPUTED), min_length=1)

    @property
    def computed(self) -> dict[str, Metric]:
        """The metrics by name, in the order of the file."""
        parts = [item.metrics() for item in self.metrics if isinstance(item, MetricSettings)]
        named = {name: COMPUTED[name] for name in self.metrics if isinstance(name, str)}
        return named | {metric.name: metric for metrics in parts for metric in metrics}

    @property
    def of_model(self) -> list[ModelMetricSettings]:
        """Those that need the model, not predictions alone."""
        return [item for item in self.metrics if isinstance(item, ModelMetricSettings)]

    @field_validator("metrics", mode="before")
    @classmethod
    def _metrics_are_known(cls, items: Any, info: ValidationInfo) -> Any:
        if not isinstance(items, list):
            return items
        found = list(dict.fromkeys(item for item in items if not isinstance(item, dict)))
        for name in found:
            if not is_part(name) and name not in COMPUTED:
                known = ", ".join([*COMPUTED, *MetricSettings.kinds()])
                raise ValueError(
                    f"no metric {name!r}; choose from {known}, or name code of your own: "
                    "file.py:Name"
                )
        found += [item for item in items if isinstance(item, dict)]
        return [metric_part(item, info.context) if is_part(item) else item for item in found]

    @model_validator(mode="after")
    def _names_are_unlike(self) -> Self:
        names = [
            metric.name
            for item in self.metrics
            if isinstance(item, MetricSettings)
            for metric in item.metrics()
        ]
        for name in names:
            if name in COMPUTED or name in MEASURED or names.count(name) > 1:
                raise ValueError(f"metrics: {name!r} is there twice; give yours another name")
        return self


def is_part(item: Any) -> bool:
    """Return whether an item of ``evaluation/metrics`` has settings: a kind, or user code."""
    is_kind = isinstance(item, str) and item in MetricSettings.kinds()
    return is_kind or isinstance(item, dict) or is_reference(item)


def metric_part(item: str | dict[str, Any], code: Any) -> MetricSettings:
    """Return the settings of such an item; ``code`` finds user code.

    Raises:
        pydantic.ValidationError: A setting is wrong, or the code cannot be used.
    """
    settings = {"kind": item} if isinstance(item, str) else item
    return TypeAdapter(MetricSettings).validate_python(settings, context=code)
