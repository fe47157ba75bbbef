from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tunebox.data.image_set import ImageSet
from tunebox.metrics.curvature import curvature_along
from tunebox.models.build import build_classifier
from tunebox.models.networks.small_conv import SmallConvSettings
from tunebox.training.curvature import curvature

DOUBLE = torch.float64
WEIGHT = torch.tensor([[1, 0, 2], [0, 1, -1], [-1, -1, 0]], dtype=DOUBLE)
BIAS = torch.tensor([0.1, -0.2, 0.3], dtype=DOUBLE)
INPUTS = torch.tensor(
    [[0.2, 0.4, 0.6], [1, 0, -0.5], [-0.3, 0.8, 0.1], [0.5, 0.5, 0.5]], dtype=DOUBLE
)
LABELS = torch.tensor([0, 1, 2, 0])
DIRECTION = torch.tensor([[1, -1, 0.5], [0.3, 0.2, -0.4], [1, 0, 0], [-0.5, 2, 1]], dtype=DOUBLE)


def linear_logits(inputs: Tensor) -> Tensor:
    return nn.functional.linear(inputs, WEIGHT, BIAS)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (1e-2, [2.149093, 0.561311, 0.650495, 0.485630]),
        (1e-3, [2.182759, 0.560848, 0.649027, 0.494167]),
    ],
)
def test_reference_along_a_given_direction(step: float, expected: list[float]) -> None:
    values = curvature_along(linear_logits, INPUTS, LABELS, [DIRECTION], step)
    assert values.tolist() == pytest.approx(expected, abs=1e-6)


def test_many_directions_give_the_sum_of_squared_eigenvalues() -> None:
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(2000, 4, 3, dtype=DOUBLE, generator=generator)
    values = curvature_along(linear_logits, INPUTS, LABELS, directions.unbind(), 1e-4)
    assert values.tolist() == pytest.approx([2.514549, 5.600060, 4.573594, 2.282568], rel=0.1)


def test_image_does_not_depend_on_the_others() -> None:
    whole = curvature_along(linear_logits, INPUTS, LABELS, [DIRECTION], 1e-2)
    alone = curvature_along(linear_logits, INPUTS[3:], LABELS[3:], [DIRECTION[3:]], 1e-2)
    assert alone.item() == pytest.approx(whole[3].item(), rel=1e-12)


def test_batch_size_does_not_matter_and_the_model_stays() -> None:
    generator = torch.Generator().manual_seed(0)
    # 7x7 pixels: a number of values that is no multiple of a vector register
    images = torch.randint(256, (7, 1, 7, 7), generator=generator, dtype=torch.uint8)
    image_set = ImageSet(images, torch.randint(3, (7,), generator=generator), num_classes=3)
    model = build_classifier(
        SmallConvSettings(kind="small_conv", width=4),
        channels=1,
        height=7,
        width=7,
        num_classes=3,
        mean=[0.5],
        std=[0.3],
        seed=0,
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    by_7, by_3, by_1 = (
        curvature(model, image_set, seed=1, step=0.1, batch_size=size) for size in (7, 3, 1)
    )
    assert by_7.shape == (7,)
    torch.testing.assert_close(by_3, by_7, rtol=1e-4, atol=0)
    torch.testing.assert_close(by_1, by_7, rtol=1e-4, atol=0)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
