"""Networks of timm and torchvision: names, weights, and searches over them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from tunebox.decisions.trials import TrialState
from tunebox.models import registered
from tunebox.models.base import Classifier
from tunebox.models.build import build_classifier
from tunebox.models.settings import ModelSettings
from tunebox.records.model_folder import load_model

timm = pytest.importorskip("timm")
torchvision_models = pytest.importorskip("torchvision.models")


def build(channels: int = 3, side: int = 32, classes: int = 10, **settings: Any) -> Classifier:
    adapter: TypeAdapter[ModelSettings] = TypeAdapter(ModelSettings)
    return build_classifier(
        adapter.validate_python(settings),
        channels=channels,
        height=side,
        width=side,
        num_classes=classes,
        mean=[0.1] * channels,
        std=[0.2] * channels,
        seed=0,
    )


def test_names_read_from_the_sources_are_those_of_the_libraries() -> None:
    assert registered.registered_names("timm") == set(timm.list_models())
    names = set(torchvision_models.list_models(module=torchvision_models))
    assert registered.registered_names("torchvision") == names


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("timm", "resnet17", "timm has no network 'resnet17'; did you mean .*resnet"),
        ("timm", "zzz", "timm has no network 'zzz'"),
        ("torchvision", "resnet51", "torchvision has no network 'resnet51'; did you mean .*50"),
    ],
)
def test_unknown_name_is_refused_with_similar_ones(kind: str, name: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(kind=kind, name=name)


def test_missing_timm_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunebox.models.networks.timm.is_installed", lambda library: False)
    with pytest.raises(ValidationError) as caught:
        build(kind="timm", name="resnet18")
    (error,) = caught.value.errors()
    assert error["loc"] == ("kind",)
    assert error["msg"] == "timm is not installed; pip install 'tunebox[timm]'"


@pytest.fixture
def timm_weights(tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    torch.manual_seed(5)
    state = timm.create_model("test_resnet", num_classes=7).state_dict()
    torch.save(state, tmp_path / "weights.pt")
    return tmp_path / "weights.pt", state


def test_timm_loads_a_file(timm_weights: tuple[Path, dict[str, torch.Tensor]]) -> None:
    path, state = timm_weights
    model = build(kind="timm", name="test_resnet", pretrained=str(path))
    loaded = model.backbone.state_dict()
    assert loaded
    assert all(value.equal(state[name]) for name, value in loaded.items())
    assert model.head.out_features == 10  # the head of 7 classes is left out
    assert model.mean.flatten().tolist() == [0.5] * 3  # that of the pretraining, not of the data
    same = build(kind="timm", name="test_resnet", pretrained=str(path), classes=7)
    assert same.head.weight.equal(state["fc.weight"])


def test_timm_fits_weights_to_grey_images(
    timm_weights: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    path, state = timm_weights
    model = build(channels=1, kind="timm", name="test_resnet", pretrained=str(path))
    first = next(iter(state))
    grey = state[first].sum(1, keepdim=True)
    torch.testing.assert_close(model.backbone.state_dict()[first], grey)
    assert model.mean.flatten().tolist() == pytest.approx([0.1])


def test_timm_refuses_a_file_of_another_network(
    timm_weights: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    with pytest.raises(ValueError, match=r"has 0 of the .* weights of test_vit"):
        build(kind="timm", name="test_vit", pretrained=str(timm_weights[0]))


@pytest.mark.parametrize("channels", [1, 3])
def test_torchvision_loads_a_file(channels: int, tmp_path: Path) -> None:
    torch.manual_seed(5)
    state = torchvision_models.resnet18(num_classes=7).state_dict()
    torch.save(state, tmp_path / "weights.pt")
    path = str(tmp_path / "weights.pt")
    model = build(channels, kind="torchvision", name="resnet18", weights=path)
    loaded = model.backbone.state_dict()
    changed = {name for name, value in loaded.items() if not value.equal(state[name])}
    assert changed == (set() if channels == 3 else {"conv1.weight"})
    if channels == 1:
        grey = state["conv1.weight"].sum(1, keepdim=True)
        torch.testing.assert_close(loaded["conv1.weight"], grey)
    else:
        assert model.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    with pytest.raises(ValueError, match="they are of another network"):
        build(kind="torchvision", name="vgg11", weights=path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "timm", "name": "test_resnet", "pretrained": "no.pt"}, "no.pt cannot be read"),
        ({"kind": "torchvision", "name": "resnet18", "weights": "no.pt"}, "one of IMAGENET1K_V1"),
        ({"kind": "torchvision", "name": "squeezenet1_0"}, "no linear layer|it fails on images"),
        ({"kind": "torchvision", "name": "vit_b_16", "side": 30}, "torchvision cannot make vit"),
    ],
)
def test_what_cannot_be_built_is_told_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        build(**settings)
    assert "\n" not in str(caught.value)


def write_images(root: Path, count: int, side: int) -> None:
    generator = np.random.default_rng(0)
    for number in range(count):
        folder = root / "train" / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        values = generator.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{number}.png")


def search_file(root: Path, model: dict[str, Any]) -> dict[str, Any]:
    return {
        "data": {"kind": "image_folder", "root": str(root), "image_size": 64},
        "model": model,
        "losses": {"cross_entropy": {"on": "clean"}},
        "optimizer": {"kind": "sgd", "lr": {"log_uniform": [0.001, 0.1]}},
        "training": {"batch_size": 8},
        "evaluation": {"noise": {"kind": "gaussian", "std": 0.1}},
        "search": {"trials": 2, "max_epochs": 1},
    }


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("timm", "resnet18"),
        ("timm", "efficientnet_b0"),
        ("timm", "vit_tiny_patch16_224"),
        ("torchvision", "resnet50"),
    ],
)
def test_searched(kind: str, name: str, tmp_path: Path) -> None:
    from tunebox.verbs.search import search

    write_images(tmp_path / "images", 40, 64)
    values = search_file(tmp_path / "images", {"kind": kind, "name": name})
    result = search(values, out=str(tmp_path / "out"), address="none", name="made")
    trials = list(result.log.trials.values())
    assert [trial.state for trial in trials] == [TrialState.FINISHED] * 2
    assert all(math.isfinite(trial.last_metrics["train_loss"]) for trial in trials)


@pytest.mark.slow
def test_exported_model_is_loaded_without_the_pretrained_weights(
    timm_weights: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    path, _ = timm_weights
    write_images(tmp_path / "images", 10, 32)
    model = {"kind": "timm", "name": "test_resnet", "pretrained": str(path), "train": "head"}
    values = search_file(tmp_path / "images", model) | {"optimizer": {"kind": "sgd", "lr": 0.1}}
    from tunebox.verbs.train import train

    made = train(values, to=tmp_path / "model", out=tmp_path / "out")
    path.unlink()
    loaded = load_model(made.folder)
    assert loaded.mean.flatten().tolist() == [0.5] * 3
    fresh = build(kind="timm", name="test_resnet").backbone.state_dict()
    assert not any(
        value.equal(fresh[name])
        for name, value in loaded.backbone.state_dict().items()
        if value.ndim == 4
    )
