from __future__ import annotations

import time

import pytest
import torch

from tunebox.errors import TuneboxError
from tunebox.models import size
from tunebox.models.build import build_classifier
from tunebox.models.networks.mlp import MlpSettings
from tunebox.models.settings import ImageShape

SHAPE = ImageShape(channels=3, height=32, width=32, num_classes=10)


def test_a_model_larger_than_memory_is_refused_before_it_is_built() -> None:
    start = time.monotonic()
    with pytest.raises(TuneboxError, match=r"does not fit into memory: 4,290,9.*smaller model"):
        build_classifier(
            MlpSettings(kind="mlp", width=2**16, depth=1000),
            channels=3,
            height=32,
            width=32,
            num_classes=10,
            mean=[0.5] * 3,
            std=[0.5] * 3,
            seed=0,
        )
    assert time.monotonic() - start < 30


def test_the_limit_is_where_parameters_and_gradients_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = MlpSettings(kind="mlp", width=10, depth=1, feature_dim=7)
    # a hidden layer of 10, features of 7, 10 classes
    num_parameters = (3072 * 10 + 10) + (10 * 7 + 7) + (7 * 10 + 10)
    network = settings.build(SHAPE)
    modules = (network.backbone, network.head)
    assert num_parameters == sum(p.numel() for m in modules for p in m.parameters())
    monkeypatch.setattr(size, "machine_memory", lambda: num_parameters * 8)
    size.check_size(settings, SHAPE)
    monkeypatch.setattr(size, "machine_memory", lambda: num_parameters * 8 - 1)
    with pytest.raises(TuneboxError, match="does not fit"):
        size.check_size(settings, SHAPE)


def test_the_check_leaves_torchs_generator_as_it_was() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    size.check_size(MlpSettings(kind="mlp"), SHAPE)
    assert torch.equal(torch.get_rng_state(), before)
