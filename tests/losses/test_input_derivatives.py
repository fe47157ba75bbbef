"""Penalties on slope and curvature: known values, closed forms, finite differences."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.losses.linear_model import (
    BIAS,
    CONTEXT,
    INPUTS,
    LABELS,
    WEIGHT,
    as_images,
    linear_model,
    linear_step,
)
from tests.losses.make_step import make_step
from tests.losses.references import double
from tunebox.losses.input_derivatives import (
    gradient_changes,
    input_gradients,
    sign_directions,
    squared_lengths,
)
from tunebox.losses.settings import TermSettings
from tunebox.losses.terms.curvature import CureSettings, InputGradientSettings, JacobianSettings
from tunebox.models.base import Classifier


def logits_of(inputs: Tensor) -> Tensor:
    return functional.linear(inputs, WEIGHT, BIAS)


def value_of(settings: TermSettings, **changes: Any) -> float:
    return float(settings.build(CONTEXT)(linear_step(settings, INPUTS, **changes)).detach())


def test_known_slopes() -> None:
    squares = squared_lengths(input_gradients(logits_of, INPUTS, LABELS))
    assert squares.tolist() == pytest.approx([0.484778, 2.215959, 2.653579, 0.389005], abs=1e-6)
    assert value_of(InputGradientSettings()) == pytest.approx(1.435830, abs=1e-6)


def test_known_jacobian() -> None:
    assert value_of(JacobianSettings(projections=3)) == pytest.approx(4.5, abs=1e-12)


def test_known_changes_of_the_gradient() -> None:
    gradients = input_gradients(logits_of, INPUTS, LABELS)
    directions = sign_directions(gradients)
    signs = double([[-1, -1, -1], [1, -1, 1], [1, 1, 1], [-1, 1, -1]])
    torch.testing.assert_close(directions, signs / 3**0.5)
    changes = gradient_changes(logits_of, INPUTS, LABELS, gradients, 1.5 * directions)
    expected = [4.321922, 3.160415, 3.110763, 5.687056]
    assert squared_lengths(changes).tolist() == pytest.approx(expected, abs=1e-6)
    assert value_of(CureSettings()) == pytest.approx(4.070039, abs=1e-6)
    assert value_of(CureSettings(power=1)) == pytest.approx(2.001292, abs=1e-6)


def test_units_are_those_of_the_normalised_input() -> None:
    """The same network with other pixels has the same penalties."""
    pixels = 0.25 * INPUTS + 0.5
    model = linear_model(mean=0.5, std=0.25)
    for settings in (InputGradientSettings(), JacobianSettings(projections=3), CureSettings()):
        step = linear_step(settings, pixels, model=model)
        assert settings.build(CONTEXT)(step).item() == pytest.approx(value_of(settings))


def test_random_directions_estimate_the_jacobian() -> None:
    settings, values = JacobianSettings(), []
    for seed in range(200):
        step = linear_step(settings, INPUTS)
        step.generator.manual_seed(seed)
        values.append(settings.build(CONTEXT)(step).detach())
    assert torch.stack(values).mean().item() == pytest.approx(4.5, rel=0.05)
    assert torch.stack(values).std() > 0.1


def test_normal_directions_estimate_the_squared_eigenvalues() -> None:
    """For a small step the change over it is H v, and E ||H v||^2 = ||H||_F^2 / D."""
    settings = CureSettings(direction="normal", step=1e-3)
    values = []
    for seed in range(200):
        step = linear_step(settings, INPUTS)
        step.generator.manual_seed(seed)
        values.append(settings.build(CONTEXT)(step).detach() / 1e-6)
    squared = sum([2.514549, 5.600060, 4.573594, 2.282568]) / 4  # of the Hessians
    assert torch.stack(values).mean().item() == pytest.approx(squared / 3, rel=0.15)


def test_length_grows_during_the_warmup() -> None:
    settings = CureSettings(step=3.0, warmup=0.5)  # the step is at half of the training
    assert value_of(settings) == pytest.approx(value_of(CureSettings(step=3.0)))
    late = CureSettings(step=3.0, warmup=1.0)
    assert value_of(late) == pytest.approx(value_of(CureSettings(step=1.5)))


def curved_model() -> Classifier:
    torch.manual_seed(3)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(3, 4), nn.Tanh())
    return Classifier(backbone, nn.Linear(4, 3), [0.0], [1.0]).double()


PENALTIES = [
    InputGradientSettings(),
    JacobianSettings(projections=3),
    CureSettings(),
    CureSettings(power=1),
]


@pytest.mark.parametrize("settings", PENALTIES, ids=str)
def test_gradient_is_that_of_finite_differences(settings: TermSettings) -> None:
    model = curved_model()
    weights = model.backbone.get_parameter("1.weight")

    def value() -> Tensor:
        of_step: Tensor = settings.build(CONTEXT)(linear_step(settings, INPUTS, model=model))
        return of_step

    [gradient] = torch.autograd.grad(value(), [weights])
    for place in ((0, 0), (1, 2), (3, 1)):
        ends = []
        for change in (1e-6, -1e-6):
            with torch.no_grad():
                weights[place] += change
            ends.append(value().item())
            with torch.no_grad():
                weights[place] -= change
        assert gradient[place].item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5)


def test_slope_and_jacobian_are_those_of_finite_differences() -> None:
    model = curved_model()
    squares, jacobian = 0.0, 0.0
    for image, label in zip(INPUTS, LABELS, strict=True):
        for pixel in range(3):
            move = torch.zeros(3, dtype=torch.float64)
            move[pixel] = 1e-6
            up, down = (model(as_images(at)) for at in (image + move, image - move))
            target = label.view(1)
            rise = functional.cross_entropy(up, target) - functional.cross_entropy(down, target)
            squares += (rise.item() / 2e-6) ** 2 / 4
            jacobian += ((up - down) / 2e-6).square().sum().item() / 8
    slope = InputGradientSettings()
    step = linear_step(slope, INPUTS, model=model)
    assert slope.build(CONTEXT)(step).item() == pytest.approx(squares, rel=1e-6)
    exact = JacobianSettings(projections=3)
    assert exact.build(CONTEXT)(step).item() == pytest.approx(jacobian, rel=1e-6)


def test_result_does_not_depend_on_the_batch() -> None:
    """Each image has the gradient of its own loss: no factor of the batch size."""
    for settings in (InputGradientSettings(), CureSettings()):
        whole = linear_step(settings, INPUTS)
        twice = make_step(
            settings,
            LABELS.repeat(2),
            whole.images["clean"].repeat(2, 1, 1, 1),
            [whole.images["clean"].repeat(2, 1, 1, 1)],
            model=linear_model(),
            dtype=torch.float64,
        )
        expected = settings.build(CONTEXT)(whole).item()
        assert settings.build(CONTEXT)(twice).item() == pytest.approx(expected)


def test_kinks_leave_a_gradient() -> None:
    """A ReLU network has no second derivative inside its pieces, but its gradient jumps."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(3, 8), nn.ReLU())
    model = Classifier(backbone, nn.Linear(8, 3), [0.0], [1.0]).double()
    for settings in PENALTIES:
        value = settings.build(CONTEXT)(linear_step(settings, INPUTS, model=model))
        gradients = torch.autograd.grad(value, list(model.parameters()), allow_unused=True)
        found = [gradient for gradient in gradients if gradient is not None]
        assert any(bool(gradient.any()) for gradient in found)
        assert all(bool(gradient.isfinite().all()) for gradient in found)
