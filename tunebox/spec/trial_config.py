"""The config of a trial: every setting that training needs."""

from pydantic import model_validator
from typing_extensions import Self

from tunebox.data.augmentations.crop_flip import CropFlipSettings
from tunebox.data.settings import AugmentationSettings, DataSettings
from tunebox.losses.settings import LossesSettings
from tunebox.models.settings import ModelSettings
from tunebox.optim.schedules import ConstantSettings
from tunebox.optim.settings import OptimizerSettings, ScheduleSettings
from tunebox.settings import Settings
from tunebox.spec.training_settings import EvaluationSettings, TrainingSettings


class TrialConfig(Settings):
    """Settings of one training. A search file has this structure, with distributions as values."""

    data: DataSettings
    augmentation: AugmentationSettings = CropFlipSettings()
    model: ModelSettings
    losses: LossesSettings
    optimizer: OptimizerSettings
    schedule: ScheduleSettings = ConstantSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings

    @property
    def own_seed(self) -> int | None:
        """The random seed of the trial, None for that of the search."""
        return self.training.seed

    @model_validator(mode="after")
    def _noise_fits_images(self) -> Self:
        side = self.data.image_side
        noises = {"losses/noise": self.losses.noise, "evaluation/noise": self.evaluation.noise}
        for path, noise in noises.items():
            if side is not None and noise is not None and noise.needed_side > side:
                raise ValueError(
                    f"{path}: a patch of size {noise.needed_side} is larger than the {side} pixels "
                    "of an image"
                )
        return self
