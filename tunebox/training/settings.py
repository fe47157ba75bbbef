"""``optimizer``, ``schedule``, ``training`` and ``evaluation`` in a search file."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from tunebox.noise.settings import NoiseSettings
from tunebox.settings import Settings


class SgdSettings(Settings):
    """Stochastic gradient descent."""

    kind: Literal["sgd"]
    lr: float = Field(gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = True
    weight_decay: float = Field(5e-4, ge=0)

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs momentum above 0: raise momentum, or nesterov: false")
        return self


class AdamWSettings(Settings):
    """Adam with decoupled weight decay."""

    kind: Literal["adamw"]
    lr: float = Field(gt=0)
    weight_decay: float = Field(0.01, ge=0)


OptimizerSettings = Annotated[SgdSettings | AdamWSettings, Field(discriminator="kind")]


class ConstantSettings(Settings):
    """The learning rate stays as it is."""

    kind: Literal["constant"]


class MultistepSettings(Settings):
    """The learning rate is multiplied by ``factor`` at each milestone."""

    kind: Literal["multistep"]
    # parts of the whole training, so that they hold for any number of epochs
    milestones: list[Annotated[float, Field(gt=0, lt=1)]] = Field(min_length=1)
    factor: float = Field(0.2, gt=0, le=1)


class CosineSettings(Settings):
    """The learning rate falls to 0 along half a cosine."""

    kind: Literal["cosine"]


class OneCycleSettings(Settings):
    """The learning rate rises to ``lr`` and falls to almost 0 along cosines."""

    kind: Literal["one_cycle"]
    rise: float = Field(0.3, gt=0, lt=1)  # part of the training in which it rises


ScheduleSettings = Annotated[
    ConstantSettings | MultistepSettings | CosineSettings | OneCycleSettings,
    Field(discriminator="kind"),
]


class TrainingSettings(Settings):
    """How the batch loop runs."""

    batch_size: int = Field(64, ge=2)  # the last, smaller batch of an epoch is left out
    seed: int | None = Field(None, ge=0)  # null: the seed of the search
    # auto: bfloat16 on a GPU, float32 on a CPU; losses and evaluations are always float32
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: bool = True  # memory order of convolutions; does not change the mathematics


class EvaluationSettings(Settings):
    """The noise on validation images: the same for all trials, whatever they train with."""

    noise: NoiseSettings
    num_draws: int = Field(1, ge=1)  # noisy copies of each validation image
    seed: int = Field(0, ge=0)
    batch_size: int = Field(1024, ge=1)
