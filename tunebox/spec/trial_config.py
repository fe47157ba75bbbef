"""One concrete trial: everything that training needs, every value known."""

from pydantic import Field

from tunebox.data.settings import AugmentationSettings, DataSettings
from tunebox.losses.settings import LossesSettings
from tunebox.models.settings import ModelSettings
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
