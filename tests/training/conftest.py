"""Small trials on the digits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from tunebox.data.parts import TrainingParts, load_training_parts
from tunebox.data.sets.digits import DigitsSettings
from tunebox.models.base import Classifier
from tunebox.models.build import build_classifier
from tunebox.models.networks.small_conv import SmallConvSettings
from tunebox.spec.trial_config import TrialConfig

GAUSSIAN = {"kind": "gaussian", "std": 0.2}

METHODS: dict[str, dict[str, Any]] = {
    "normal": {"cross_entropy": {"on": "clean"}},
    "noisy_only": {"cross_entropy": {"on": "noisy"}, "noise": GAUSSIAN},
    "both": {"cross_entropy": {"on": "both"}, "noise": GAUSSIAN, "forward": "joint"},
    "stability": {
        "cross_entropy": {"on": "clean"},
        "stability": {"weight": 0.1},
        "noise": GAUSSIAN,
    },
    "ours": {
        "cross_entropy": {"on": "clean"},
        "discriminative": {"momentum": 0.9, "weight": 0.5},
        "noise": GAUSSIAN,
        "view": "independent",
    },
    "cosines": {
        "arc_face": {"on": "clean"},
        "center": {"weight": 0.01},
        "sample_margin": {"weight": 0.5},
    },
    "consistency": {
        "cross_entropy": {"on": "noisy"},
        "consistency": {"copies": 3, "form": "kl", "agreement_weight": 1.0},
        "noise": GAUSSIAN,
    },
    "attack": {
        "cross_entropy": {"on": "clean", "weight": 0.5},
        "pgd": {"epsilon": 0.1, "steps": 2},
        "cure": {"weight": 0.1, "direction": "normal"},
    },
    "teacher": {
        "cross_entropy": {"on": "noisy"},  # alone it begins with few images
        "cat_rs": {"copies": 2, "steps": 1, "epsilon": 0.5},
        "noise": {"kind": "gaussian", "std": 0.2, "clamp": False},
    },
}

MakeConfig = Callable[..., TrialConfig]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Keep these tiny networks from waiting for a second core that others use."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=sorted(METHODS))
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def parts() -> TrainingParts:
    return load_training_parts(DigitsSettings(kind="digits", train_images=300))


@pytest.fixture(scope="session")
def make_config() -> MakeConfig:
    def make(method: str, **changes: Any) -> TrialConfig:
        values: dict[str, Any] = {
            "data": {"kind": "digits", "train_images": 300},
            "augmentation": {"crop_padding": 1},
            "model": {"kind": "small_conv", "width": 8, "feature_dim": 16},
            "losses": METHODS[method],
            "optimizer": {"kind": "sgd", "lr": 0.01},
            "schedule": {"kind": "one_cycle"},
            "evaluation": {"noise": GAUSSIAN, "num_draws": 2},
        }
        return TrialConfig.model_validate(values | changes)

    return make


@pytest.fixture
def model() -> Classifier:
    return build_classifier(
        SmallConvSettings(kind="small_conv", width=4),
        channels=1,
        height=8,
        width=8,
        num_classes=10,
        mean=[0.3],
        std=[0.4],
        seed=0,
    )
