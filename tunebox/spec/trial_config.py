"""One concrete trial: everything that training needs, every value known."""

from pydantic import Field, model_validator
from typing_extensions import Self

from tunebox.data.settings import AugmentationSettings, DataSettings
from tunebox.losses.settings import LossesSettings
from tunebox.models.settings import ModelSettings
from tunebox.noise.settings import largest_patch
from tunebox.settings import Settings
from tunebox.training.settings import (
    ConstantSettings,
    EvaluationSettings,
    OptimizerSettings,
    ScheduleSettings,
    TrainingSettings,
)


class TrialConfig(Settings):
    """The settings of one training run. A search file is one of these with distributions in it."""

    data: DataSettings
    augmentation: AugmentationSettings = AugmentationSettings()
    model: ModelSettings
    losses: LossesSettings
    optimizer: OptimizerSettings
    schedule: ScheduleSettings = Field(default=ConstantSettings(kind="constant"))
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings

    @model_validator(mode="after")
    def _patches_fit_images(self) -> Self:
        side = self.data.image_side
        for path, noise in (
            ("losses/noise", self.losses.noise),
            ("evaluation/noise", self.evaluation.noise),
        ):
            size = 0 if noise is None else largest_patch(noise)
            if size > side:
                raise ValueError(
                    f"{path}: a patch of size {size} is larger than the {side} pixels of an image"
                )
        return self
