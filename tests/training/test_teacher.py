"""The teacher is the exponential average of the model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tunebox.data.parts import TrainingParts
from tunebox.models.build import build_classifier
from tunebox.spec.trial_config import TrialConfig
from tunebox.training.teacher import averaged, build_teacher
from tunebox.training.trial_run import TrialRun

MakeConfig = Callable[..., TrialConfig]


def test_average_is_that_of_the_recursion(make_config: MakeConfig) -> None:
    model = build_classifier(
        make_config("normal").model,
        channels=1,
        height=8,
        width=8,
        num_classes=10,
        mean=[0.5],
        std=[0.3],
        seed=0,
    )
    teacher = build_teacher(model, 0.9)
    assert teacher is not None
    taught = averaged(teacher)
    assert taught is not None
    assert not taught.training
    assert not any(p.requires_grad for p in taught.parameters())
    expected: dict[str, torch.Tensor] = {}
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.randn(value.shape, generator=generator))
        teacher.update_parameters(model)
        for name, value in model.state_dict().items():
            old = expected.get(name)
            expected[name] = value.clone() if old is None else 0.9 * old + 0.1 * value
    for name, value in taught.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, expected[name])


def test_without_a_term_that_needs_it_there_is_none(
    make_config: MakeConfig, parts: TrainingParts
) -> None:
    assert build_teacher(torch.nn.Linear(1, 1), None) is None  # type: ignore[arg-type]
    assert averaged(None) is None
    run = TrialRun(make_config("normal"), seed=0, max_epochs=2, device="cpu", parts=parts)
    assert "teacher" not in run.state_dict()


def test_teacher_follows_the_training(make_config: MakeConfig, parts: TrainingParts) -> None:
    run = TrialRun(make_config("teacher"), seed=0, max_epochs=2, device="cpu", parts=parts)
    run.run_epoch()
    state = run.state_dict()["teacher"]
    apart = [
        float((state[f"module.{name}"] - value).abs().amax())
        for name, value in run.model.state_dict().items()
        if name.endswith("weight")
    ]
    assert 0 < max(apart) < 1
    assert int(state["n_averaged"]) == len(parts.train) // 64


def test_one_decay_for_all(make_config: MakeConfig) -> None:
    noise = {"kind": "gaussian", "std": 0.1, "clamp": False}
    twice = {"cat_rs": {}, "other": {"kind": "cat_rs", "decay": 0.5}, "noise": noise}
    with pytest.raises(ValueError, match="terms with a teacher need the same decay"):
        make_config("normal", losses=twice)
