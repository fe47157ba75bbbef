"""What every classifier promises."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from tunebox.models.base import Classifier
from tunebox.models.build import build_classifier
from tunebox.models.settings import ModelSettings

MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"kind": "mlp", "width": 16, "feature_dim": 7},
    "small_conv": {"kind": "small_conv", "width": 4, "feature_dim": 7},
    "resnet18": {"kind": "resnet18", "feature_dim": 7},
    "wide_resnet": {"kind": "wide_resnet", "depth": 10, "widen_factor": 1},
    "preact_resnet18": {"kind": "preact_resnet18"},
    "vgg_bn": {"kind": "vgg_bn", "depth": 11},
    "conv_mixer": {"kind": "conv_mixer", "dim": 8, "depth": 2, "kernel_size": 3},
    "vit": {"kind": "vit", "dim": 12, "depth": 1, "patch_size": 4},
    "timm": {"kind": "timm", "name": "test_resnet"},
    "torchvision": {"kind": "torchvision", "name": "resnet18"},
}
LINEAR = {"mlp", "small_conv", "resnet18"}  # their feature has a length of choice and any sign
LEAST_SIDE = {"vgg_bn": 16, "timm": 28}  # pixels, where 8 are too few


def settings_of(name: str, **changes: Any) -> ModelSettings:
    adapter: TypeAdapter[ModelSettings] = TypeAdapter(ModelSettings)
    return adapter.validate_python(MODELS[name] | changes)


def build(name: str, side: int = 8, channels: int = 1, seed: int = 0, **changes: Any) -> Classifier:
    return build_classifier(
        settings_of(name, **changes),
        channels=channels,
        height=side,
        width=side,
        num_classes=10,
        mean=[0.5] * channels,
        std=[0.25] * channels,
        seed=seed,
    )


def test_every_kind_is_here() -> None:
    assert set(MODELS) == set(ModelSettings.kinds())


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (28, 1), (32, 3), (64, 3)])
def test_shapes(name: str, side: int, channels: int) -> None:
    side = max(side, LEAST_SIDE.get(name, 0))
    model = build(name, side, channels).eval()
    images = torch.rand(2, channels, side, side)
    with torch.no_grad():
        features = model.features(images)
        assert features.shape == (2, model.head.in_features)
        if name in LINEAR:
            assert features.shape == (2, 7)
            assert (features < 0).any()
        assert torch.equal(model(images), model.head(features))
        assert model(images).shape == (2, 10)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_seed_decides_the_weights_and_the_global_generator_stays(name: str) -> None:
    before = torch.get_rng_state()
    side = LEAST_SIDE.get(name, 8)
    first, again, other = build(name, side), build(name, side), build(name, side, seed=1)
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


def num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


# Published with the papers' code, or in widely used reimplementations. Those of VGG have a bias in
# each convolution, which batch norm makes useless: it is subtracted here.
PUBLISHED = [
    ("resnet18", {"feature_dim": 128}, 11_235_786),
    ("resnet18", {"feature_dim": 30}, 11_184_532),
    ("wide_resnet", {"depth": 28, "widen_factor": 10}, 36_479_194),
    ("wide_resnet", {"depth": 40, "widen_factor": 2}, 2_243_546),
    ("preact_resnet18", {}, 11_172_170),
    ("vgg_bn", {"depth": 11}, 9_231_114 - 2_752),
    ("vgg_bn", {"depth": 13}, 9_416_010 - 2_944),
    ("vgg_bn", {"depth": 16}, 14_728_266 - 4_224),
    ("vgg_bn", {"depth": 19}, 20_040_522 - 5_504),
]


@pytest.mark.parametrize(("name", "changes", "expected"), PUBLISHED)
def test_published_number_of_parameters(name: str, changes: dict[str, Any], expected: int) -> None:
    assert num_parameters(build(name, side=32, channels=3, **changes)) == expected


def test_conv_mixer_is_that_of_timm() -> None:
    convmixer = pytest.importorskip("timm.models.convmixer")
    model = build("conv_mixer", 28, 3, dim=8, depth=3, kernel_size=5, patch_size=7).eval()
    theirs = convmixer.ConvMixer(8, 3, kernel_size=5, patch_size=7, num_classes=10).eval()
    assert_same_outputs(model, theirs, side=28)


def test_vit_is_that_of_timm() -> None:
    transformer = pytest.importorskip("timm.models.vision_transformer")
    settings: dict[str, Any] = {"dim": 12, "depth": 2, "heads": 3, "mlp_ratio": 2.0}
    model = build("vit", 32, 3, patch_size=8, **settings).eval()
    theirs = transformer.VisionTransformer(
        32, 8, num_classes=10, embed_dim=12, depth=2, num_heads=3, mlp_ratio=2.0
    ).eval()
    assert_same_outputs(model, theirs, side=32)


def assert_same_outputs(model: Classifier, theirs: nn.Module, side: int) -> None:
    """Give the other network our weights, which both have in one order."""
    ours = [value for name, value in model.state_dict().items() if name not in ("mean", "std")]
    keys = theirs.state_dict()
    assert [value.shape for value in ours] == [value.shape for value in keys.values()]
    theirs.load_state_dict(dict(zip(keys, ours, strict=True)))
    images = torch.rand(2, 3, side, side)
    with torch.no_grad():
        torch.testing.assert_close(theirs(model.normalize(images)), model(images))


def test_convolutions_are_known() -> None:
    without = [name for name in MODELS if not build(name, side=32).has_convolutions]
    assert without == ["mlp"]


TOO_SMALL = [
    ("small_conv", 3, "at least 4x4 pixels, got 3x3: use mlp"),
    ("vgg_bn", 15, "at least 16x16 pixels, got 15x15: use small_conv"),
    ("conv_mixer", 1, "at least patch_size 2, got 1x1 pixels"),
    ("vit", 30, "30x30 pixels cannot be cut into patches of 4"),
]


@pytest.mark.parametrize(("name", "side", "message"), TOO_SMALL)
def test_images_too_small_are_refused(name: str, side: int, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        build(name, side)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("wide_resnet", {"depth": 27}, "must be 6 n \\+ 4, such as 22 or 28"),
        ("vit", {"heads": 5}, "heads must divide dim, got heads 5 and dim 12"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    name: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build(name, **changes)


def test_vit_has_a_second_derivative() -> None:
    model = build("vit")
    images = torch.rand(2, 1, 8, 8, requires_grad=True)
    (slope,) = torch.autograd.grad(model(images).sum(), images, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.square().sum(), images)
    assert curvature.abs().sum() > 0
