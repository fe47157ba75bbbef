"""What every classifier promises."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from tunebox.models.base import Classifier
from tunebox.models.build import build_classifier
from tunebox.models.settings import ModelSettings

MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"kind": "mlp", "width": 16, "feature_dim": 7},
    "small_conv": {"kind": "small_conv", "width": 4, "feature_dim": 7},
    "resnet18": {"kind": "resnet18", "feature_dim": 7},
}


def build(name: str, side: int = 8, channels: int = 1, seed: int = 0, **changes: Any) -> Classifier:
    adapter: TypeAdapter[ModelSettings] = TypeAdapter(ModelSettings)
    return build_classifier(
        adapter.validate_python(MODELS[name] | changes),
        channels=channels,
        height=side,
        width=side,
        num_classes=10,
        mean=[0.5] * channels,
        std=[0.25] * channels,
        seed=seed,
    )


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (28, 1), (32, 3)])
def test_shapes(name: str, side: int, channels: int) -> None:
    model = build(name, side, channels).eval()
    images = torch.rand(2, channels, side, side)
    with torch.no_grad():
        features = model.features(images)
        assert features.shape == (2, 7)
        assert (features < 0).any()  # the feature is linear
        assert torch.equal(model(images), model.head(features))
        assert model(images).shape == (2, 10)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_seed_decides_the_weights_and_the_global_generator_stays(name: str) -> None:
    before = torch.get_rng_state()
    first, again, other = build(name), build(name), build(name, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    for key, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    assert not torch.equal(first.head.weight, other.head.weight)


def test_normalization_by_channel() -> None:
    model = build_classifier(
        TypeAdapter[ModelSettings](ModelSettings).validate_python(MODELS["mlp"]),
        channels=2,
        height=1,
        width=1,
        num_classes=3,
        mean=[0.5, 0.2],
        std=[0.25, 0.1],
        seed=0,
    )
    normalized = model.normalize(torch.tensor([1.0, 0.3]).view(1, 2, 1, 1))
    torch.testing.assert_close(normalized.flatten(), torch.tensor([2.0, 1.0]))
    assert {"mean", "std"} <= set(model.state_dict())


@pytest.mark.parametrize(("feature_dim", "expected"), [(128, 11_235_786), (30, 11_184_532)])
def test_resnet18_has_the_published_number_of_parameters(feature_dim: int, expected: int) -> None:
    model = build("resnet18", side=32, channels=3, feature_dim=feature_dim)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_convolutions_are_known() -> None:
    assert [build(name).has_convolutions for name in sorted(MODELS)] == [False, True, True]


def test_images_too_small_for_small_conv_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4x4 pixels, got 3x3: use mlp"):
        build("small_conv", side=3)
