from __future__ import annotations

import io
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tunebox.data.parts import TrainingParts
from tunebox.errors import DataError
from tunebox.losses.base import LossTerm
from tunebox.losses.context import StepContext
from tunebox.losses.terms.stability import StabilitySettings
from tunebox.metrics.catalogue import COMPUTED, DEFAULT_COMPUTED, MEASURED
from tunebox.metrics.metric import Cadence
from tunebox.models.build import build_classifier
from tunebox.spec.trial_config import TrialConfig
from tunebox.training import loop
from tunebox.training.trial_run import TrialRun

MakeConfig = Callable[..., TrialConfig]
GAUSSIAN = {"kind": "gaussian", "std": 0.2}
CLOCK = {"train_seconds", "images_per_second"}


def start(
    config: TrialConfig, parts: TrainingParts, seed: int = 3, max_epochs: int = 4
) -> TrialRun:
    return TrialRun(config, seed=seed, max_epochs=max_epochs, device="cpu", parts=parts)


def epochs(run: TrialRun, count: int) -> list[dict[str, float]]:
    """The metrics of ``count`` epochs without those that a clock measures."""
    reports = [run.run_epoch() for _ in range(count)]
    return [{key: report[key] for key in report.keys() - CLOCK} for report in reports]


def saved_and_loaded(run: TrialRun) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(run.state_dict(), file)
    file.seek(0)
    state: dict[str, Any] = torch.load(file, weights_only=True)
    return state


def test_same_seed_gives_the_same_bits(
    method: str, parts: TrainingParts, make_config: MakeConfig
) -> None:
    config = make_config(method)
    first, again = epochs(start(config, parts), 2), epochs(start(config, parts), 2)
    assert first == again
    assert epochs(start(config, parts, seed=4), 2) != first


@pytest.mark.parametrize(
    ("schedule", "optimizer"),
    [("constant", "sgd"), ("cosine", "adamw"), ("one_cycle", "adamw"), ("multistep", "sgd")],
)
def test_interrupted_run_equals_the_uninterrupted_one(
    schedule: str, optimizer: str, parts: TrainingParts, make_config: MakeConfig
) -> None:
    extra = {"milestones": [0.3, 0.6]} if schedule == "multistep" else {}
    config = make_config(
        "ours",
        schedule={"kind": schedule, **extra},
        optimizer={"kind": optimizer, "lr": 0.005},
    )
    assert_resumes(config, parts)


def test_every_method_resumes(method: str, parts: TrainingParts, make_config: MakeConfig) -> None:
    assert_resumes(make_config(method), parts)


def assert_resumes(config: TrialConfig, parts: TrainingParts) -> None:
    uninterrupted = start(config, parts)
    expected = epochs(uninterrupted, 4)
    stopped = start(config, parts)
    epochs(stopped, 2)
    resumed = start(config, parts)
    resumed.load_state_dict(saved_and_loaded(stopped))
    assert resumed.epoch == 2
    assert epochs(resumed, 2) == expected[2:]
    for name, value in uninterrupted.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name])


class ScaledStability(LossTerm):
    """A term with a parameter and a buffer."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.ones(()))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, context: StepContext) -> Tensor:
        self.calls.add_(1)
        distance = (context.clean.features - context.noisy.features).square().mean()
        return self.log_scale.exp() * distance + self.log_scale.square()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_parameters_of_a_term_are_trained_and_saved(
    optimizer: str,
    parts: TrainingParts,
    make_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(StabilitySettings, "build", lambda settings, context: ScaledStability())
    config = make_config("stability", optimizer={"kind": optimizer, "lr": 0.01})
    assert_resumes(config, parts)
    run = start(config, parts)
    epochs(run, 1)
    state = saved_and_loaded(run)
    assert state["losses"]["terms.stability.log_scale"] != 1
    assert state["losses"]["terms.stability.calls"] > 1
    decays = [group["weight_decay"] for group in state["optimizer"]["param_groups"]]
    assert decays == [config.optimizer.model_dump()["weight_decay"], 0]


def test_chosen_metrics_are_reported(parts: TrainingParts, make_config: MakeConfig) -> None:
    chosen = ["noisy_ece", "clean_brier"]
    config = make_config("normal", evaluation={"noise": GAUSSIAN, "metrics": chosen})
    report = start(config, parts).run_epoch()
    assert set(report) == {*chosen, *MEASURED, "train_cross_entropy"}


@pytest.mark.parametrize(
    ("cadence", "reported"),
    [
        ("epoch", [True, True, True, True, True]),
        ("rung", [False, True, False, True, True]),
        ("end", [False, False, False, False, True]),
    ],
)
def test_a_metric_is_reported_at_its_cadence(
    cadence: Cadence,
    reported: list[bool],
    parts: TrainingParts,
    make_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(COMPUTED, "clean_ece", replace(COMPUTED["clean_ece"], cadence=cadence))
    metrics = ["clean_accuracy", "clean_ece"]
    config = make_config("normal", evaluation={"noise": GAUSSIAN, "metrics": metrics})
    run = TrialRun(config, seed=0, max_epochs=5, device="cpu", parts=parts, rungs=(2, 4))
    assert ["clean_ece" in report for report in epochs(run, 5)] == reported


def test_seconds_survive_a_resume(parts: TrainingParts, make_config: MakeConfig) -> None:
    run = start(make_config("normal"), parts)
    before = run.run_epoch()["train_seconds"]
    resumed = start(make_config("normal"), parts)
    resumed.load_state_dict(saved_and_loaded(run))
    assert resumed.run_epoch()["train_seconds"] > before > 0


def test_reported_metrics(method: str, parts: TrainingParts, make_config: MakeConfig) -> None:
    config = make_config(method)
    run = start(config, parts)
    report = run.run_epoch()
    active = config.losses.model_dump().keys() - {"noise", "view", "forward"}
    assert set(report) == {*DEFAULT_COMPUTED, *MEASURED} | {f"train_{term}" for term in active}
    assert all(type(value) is float and math.isfinite(value) for value in report.values())
    assert run.epoch == 1
    assert report["parameters"] == sum(value.numel() for value in run.model.parameters())


def test_training_settings_seed_wins(parts: TrainingParts, make_config: MakeConfig) -> None:
    config = make_config("normal", training={"seed": 11})
    assert epochs(start(config, parts, 1), 1) == epochs(start(config, parts, 2), 1)


@pytest.mark.parametrize("kind", ["mlp", "small_conv"])
def test_weights_are_the_model_and_what_it_is_for(
    kind: str, parts: TrainingParts, make_config: MakeConfig
) -> None:
    config = make_config("normal", model={"kind": kind, "width": 4})
    run = start(config, parts)
    run.run_epoch()
    weights = run.weights()
    shape = {key: weights[key] for key in ("channels", "height", "width", "num_classes")}
    assert shape == {"channels": 1, "height": 8, "width": 8, "num_classes": 10}
    assert all(type(value) is int for value in shape.values())
    # the normalisation comes with the weights, not with these means
    copy = build_classifier(config.model, **shape, mean=[0.0], std=[1.0], seed=99).eval()
    copy.load_state_dict(weights["model"])
    copy.to(memory_format=torch.channels_last)  # as it was trained: the kernels differ in last bits
    images = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(copy(images), run.model.eval()(images))


def test_global_generator_is_neither_used_nor_changed(
    method: str, parts: TrainingParts, make_config: MakeConfig
) -> None:
    before = torch.get_rng_state()
    start(make_config(method), parts).run_epoch()
    assert torch.equal(torch.get_rng_state(), before)


def test_parts_are_loaded_where_none_are_given(make_config: MakeConfig) -> None:
    config = make_config("normal")
    run = TrialRun(config, seed=3, max_epochs=4, device="cpu")
    assert run.run_epoch()["parameters"] > 0


def test_every_method_learns(method: str, make_config: MakeConfig) -> None:
    config = make_config(method, data={"kind": "digits"}, augmentation={})
    run = TrialRun(config, seed=0, max_epochs=6, device="cpu")
    reports = epochs(run, 6)
    assert reports[-1]["clean_accuracy"] > 0.85
    assert reports[-1]["noisy_accuracy"] > 0.75
    assert reports[-1]["train_loss"] < reports[0]["train_loss"]


@pytest.mark.parametrize("model", [{"kind": "mlp"}, {"kind": "small_conv", "width": 4}])
def test_bfloat16_trains(
    model: dict[str, Any], parts: TrainingParts, make_config: MakeConfig
) -> None:
    config = make_config("ours", model=model, training={"precision": "bfloat16"})
    first, second = epochs(start(config, parts), 2)
    assert second["train_loss"] < first["train_loss"]


def test_memory_order_changes_rounding_only(parts: TrainingParts, make_config: MakeConfig) -> None:
    losses = [
        start(make_config("ours", training={"channels_last": order}), parts).run_epoch()
        for order in (True, False)
    ]
    assert losses[0]["train_loss"] == pytest.approx(losses[1]["train_loss"], rel=1e-3)


def test_loss_that_is_not_finite_is_returned(parts: TrainingParts, make_config: MakeConfig) -> None:
    config = make_config(
        "ours", optimizer={"kind": "sgd", "lr": 1e6}, schedule={"kind": "constant"}
    )
    report = start(config, parts).run_epoch()
    assert not math.isfinite(report["train_loss"])


@pytest.mark.parametrize(
    ("weight", "lr", "collapsed"), [(1e6, 1e-9, 1), (1e6, 1e-7, 0), (1, 1e-9, 0)]
)
def test_a_run_has_collapsed_if_its_loss_exploded_and_its_model_guesses(
    parts: TrainingParts, make_config: MakeConfig, weight: float, lr: float, collapsed: int
) -> None:
    """A weight of a million makes the loss large; with the learning rate 1e-7 the model learns."""
    config = make_config(
        "normal",
        losses={"cross_entropy": {"on": "clean", "weight": weight}},
        optimizer={"kind": "sgd", "lr": lr},
        schedule={"kind": "constant"},
    )
    run = start(config, parts, max_epochs=8)
    report = [run.run_epoch() for _ in range(8)][-1]
    assert (report["train_loss"] > 1e4) == (weight == 1e6)
    assert (report["clean_accuracy"] > 0.5) == (lr == 1e-7)
    assert report.get("collapsed", 0) == collapsed


@pytest.mark.parametrize("norm", [0.25, 4.0])
def test_the_gradient_is_clipped_to_its_norm(
    parts: TrainingParts, make_config: MakeConfig, norm: float
) -> None:
    def norms(clip: float | None) -> list[float]:
        run = start(make_config("ours", training={"clip_grad_norm": clip}), parts)
        found: list[float] = []

        def measure(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            gradients = [
                p.grad.flatten()
                for group in optimizer.param_groups
                for p in group["params"]
                if p.grad is not None
            ]
            found.append(float(torch.cat(gradients).norm()))

        run._trainer.optimizer.register_step_pre_hook(measure)
        run.run_epoch()
        return found

    free, clipped = norms(None), norms(norm)
    assert max(free) > norm
    assert max(clipped) <= norm * 1.0001
    assert clipped[0] == pytest.approx(min(norm, free[0]), rel=1e-4)


def test_a_long_epoch_ends_once_the_loss_is_not_finite(
    parts: TrainingParts, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_CHECK_SECONDS", 0.0)
    num_steps = []
    for lr in (0.01, 1e6):
        optimizer = {"kind": "sgd", "lr": lr}
        run = start(make_config("ours", optimizer=optimizer, schedule={"kind": "constant"}), parts)
        steps: list[int] = []
        run._trainer.optimizer.register_step_post_hook(lambda *_, steps=steps: steps.append(1))
        report = run.run_epoch()
        assert math.isfinite(report["train_loss"]) == (lr == 0.01)
        num_steps.append(len(steps))
    assert num_steps[0] == len(parts.train.labels) // 64
    assert num_steps[1] < num_steps[0]


def test_too_many_epochs_are_refused(parts: TrainingParts, make_config: MakeConfig) -> None:
    run = start(make_config("normal"), parts, max_epochs=1)
    run.run_epoch()
    with pytest.raises(ValueError, match="has had its max_epochs=1 epochs"):
        run.run_epoch()
    with pytest.raises(ValueError, match="max_epochs must be at least 1, got 0"):
        start(make_config("normal"), parts, max_epochs=0)


def test_absent_data_is_a_data_error(make_config: MakeConfig, tmp_path: Any) -> None:
    config = make_config("normal", data={"kind": "mnist", "root": str(tmp_path)})
    with pytest.raises(DataError, match="mnist is not in"):
        TrialRun(config, seed=0, max_epochs=1, device="cpu")


def test_metric_names_need_no_torch() -> None:
    code = "import sys, tunebox.metrics.catalogue; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
