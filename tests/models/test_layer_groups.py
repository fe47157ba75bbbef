"""Which layers are trained, and how fast."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tests.models.test_every_model import MODELS, build, settings_of
from tunebox.data.parts import load_training_parts
from tunebox.models.layer_groups import freeze_layers, layers_of, trained_parameters
from tunebox.spec.trial_config import TrialConfig
from tunebox.training.trial_run import TrialRun

SMALL = [name for name in sorted(MODELS) if name not in ("timm", "torchvision", "vgg_bn")]


@pytest.mark.parametrize("name", SMALL)
def test_each_parameter_is_in_one_layer_and_the_head_is_the_last(name: str) -> None:
    model = build(name)
    layers = layers_of(model)
    found = [parameter for layer in layers for parameter in layer.parameters]
    assert len(found) == len(set(found))
    assert set(found) == set(model.parameters())
    assert layers[-1].parameters == list(model.head.parameters())
    for layer in layers:
        assert sum(value.ndim >= 2 for value in layer.parameters) == 1 or name == "vit"


def test_norms_and_tokens_belong_to_the_layer_before() -> None:
    layers = layers_of(build("small_conv"))
    assert [len(layer.parameters) for layer in layers] == [3, 3, 2, 2]  # with two batch norms
    # token, positions, patches and norm; qkv; projection and norm; two layers and norm; head
    assert [len(layer.parameters) for layer in layers_of(build("vit"))] == [6, 2, 4, 2, 4, 2]


@pytest.mark.parametrize(
    ("train", "expected"),
    [("all", 4), ("head", 1), ({"last": 1}, 1), ({"last": 3}, 3), ({"last": 9}, 4)],
)
def test_layers_that_are_trained(train: Any, expected: int) -> None:
    model = build("small_conv", train=train)
    freeze_layers(model, settings_of("small_conv", train=train))
    trained = [layer.parameters[0].requires_grad for layer in layers_of(model)]
    assert trained == [False] * (4 - expected) + [True] * expected
    model.train()
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert [norm.training for norm in norms] == trained[:2]
    assert not any(module.training for module in model.eval().modules())


def test_factors_of_the_learning_rate() -> None:
    model = build("small_conv")
    factors = [factor for factor, _ in trained_parameters(model, 0.5)]
    assert factors == [1.0, 0.5, 0.25, 0.125]
    assert trained_parameters(model, 0.5)[0][1] == list(model.head.parameters())
    assert trained_parameters(model, 1.0) == [(1.0, list(model.parameters()))]


def run_of(
    schedule: str = "constant", model: dict[str, Any] | None = None, **changes: Any
) -> TrialRun:
    values: dict[str, Any] = {
        "data": {"kind": "digits", "train_images": 100},
        "model": model or {"kind": "small_conv", "width": 4} | changes,
        "losses": {"cross_entropy": {"on": "clean"}},
        "optimizer": {"kind": "sgd", "lr": 0.1},
        "schedule": {"kind": schedule} | ({"milestones": [0.5]} if schedule == "multistep" else {}),
        "evaluation": {"noise": {"kind": "gaussian", "std": 0.1}},
    }
    config = TrialConfig.model_validate(values)
    parts = load_training_parts(config.data)
    return TrialRun(config, seed=0, max_epochs=2, device="cpu", parts=parts)


def test_frozen_layers_do_not_change_in_training() -> None:
    run = run_of(train={"last": 2})
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.run_epoch()
    changed = {
        name for name, value in run.model.state_dict().items() if not value.equal(before[name])
    }
    # of the convolutions and batch norms nothing, the statistics included
    assert changed == {"backbone.9.weight", "backbone.9.bias", "head.weight", "head.bias"}


@pytest.mark.parametrize("schedule", ["constant", "multistep", "cosine", "one_cycle"])
def test_schedules_keep_the_ratios_of_the_layers(schedule: str) -> None:
    run = run_of(schedule, layer_decay=0.5)
    trainer = run._trainer
    assert len(trainer.optimizer.param_groups) == 4
    for _ in range(2):
        rates = [group["lr"] for group in trainer.optimizer.param_groups]
        assert rates == pytest.approx([rates[0], rates[0] / 2, rates[0] / 4, rates[0] / 8])
        run.run_epoch()


def test_a_decay_slows_the_first_layers_down() -> None:
    moved = {}
    for decay in (1.0, 0.01):
        run = run_of(layer_decay=decay)
        first = run.model.backbone.state_dict()["0.weight"].clone()
        run.run_epoch()
        moved[decay] = (run.model.backbone.state_dict()["0.weight"] - first).norm()
    assert moved[0.01] < 0.01 * moved[1.0]


def test_without_settings_there_is_one_group_of_all_parameters() -> None:
    run = run_of()
    (group,) = run._trainer.optimizer.param_groups
    assert group["params"] == list(run.model.parameters())


@pytest.mark.parametrize(
    "changes", [{"train": "tail"}, {"train": {"last": 0}}, {"layer_decay": 0}, {"layer_decay": 1.5}]
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings_of("mlp", **changes)


def test_dropout_is_that_of_the_seed_and_a_saved_run_goes_on_with_it() -> None:
    vit = {"kind": "vit", "dim": 12, "depth": 1, "drop_rate": 0.5}
    first, again, resumed = (run_of(model=vit) for _ in range(3))
    before = torch.get_rng_state()
    losses = [first.run_epoch()["train_loss"] for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)  # someone else draws
    assert again.run_epoch()["train_loss"] == losses[0]
    resumed.load_state_dict(again.state_dict())
    assert resumed.run_epoch()["train_loss"] == losses[1]
