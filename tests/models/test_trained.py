"""A trained model refuses what it was not made for, and says what it takes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tunebox.errors import DataError
from tunebox.models.base import Classifier
from tunebox.models.trained import ModelFormat, TrainedClassifier

NAMES = ("left", "right")
SHAPE = (3, 4, 5)


def classifier() -> Classifier:
    """The brighter half of the first channel, left or right, wins; logits are the sums."""
    backbone = nn.Sequential(nn.Flatten())
    head = nn.Linear(60, 2, bias=False)
    weight = torch.zeros(2, *SHAPE)
    weight[0, 0, :, :2] = 1
    weight[1, 0, :, 3:] = 1
    head.weight = nn.Parameter(weight.flatten(1))
    return Classifier(backbone, head, mean=[0.0] * 3, std=[1.0] * 3)


def trained(bits: int = 8, names: tuple[str, ...] | None = NAMES) -> TrainedClassifier:
    return TrainedClassifier(classifier(), ModelFormat(*SHAPE, 2, bits, names)).eval()


def images() -> Tensor:
    made = torch.zeros(3, *SHAPE)
    made[0, 0, :, 0] = 0.5
    made[1, 0, :, 4] = 1
    made[2, 0, :, :2] = 0.25
    return made


def test_logits_are_those_of_the_classifier() -> None:
    assert torch.equal(trained()(images()), classifier()(images()))
    assert trained().state_dict().keys() == classifier().state_dict().keys()


def test_predict_gives_names_and_probabilities() -> None:
    classes, probabilities = trained().predict(images())
    assert classes == ["left", "right", "left"]
    expected = torch.tensor([[2.0, 0.0], [0.0, 4.0], [2.0, 0.0]]).exp()
    torch.testing.assert_close(probabilities, expected / expected.sum(dim=1, keepdim=True))
    assert trained(names=None).predict(images()).classes == ["0", "1", "0"]
    assert trained().predict(images()[:0]).classes == []


def test_predict_is_in_evaluation_mode_and_leaves_the_mode() -> None:
    model = trained()
    model.backbone.append(nn.Dropout(0.9))  # type: ignore[operator]
    model.train()
    assert torch.equal(model.predict(images()).probabilities, trained().predict(images())[1])
    assert model.training


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        (lambda made: made.numpy(), "got ndarray: make it a tensor with torch.from_numpy"),
        (lambda made: (made * 255).to(torch.uint8), "got uint8: divide .* such as 255"),
        (lambda made: (made * 9).to(torch.uint16), "got uint16: divide .* such as 65535"),
        (lambda made: made.double(), "got float64: convert it"),
        (lambda made: made.half(), "got float16: convert it"),
        (lambda made: made[0], r"got the shape \(3, 4, 5\)"),
        (lambda made: made[:, :1], r"got the shape \(3, 1, 4, 5\)"),
        (lambda made: made[:, :, :3], r"got the shape \(3, 3, 3, 5\)"),
        (lambda made: made.permute(0, 2, 3, 1), r"got the shape \(3, 4, 5, 3\)"),
        (lambda made: made * 255, "got values from 0 to 255: divide by the value of white"),
        (lambda made: made - 0.5, "got values from -0.5 to 0.5"),
        (lambda made: made / 0, "got values from nan to nan"),
    ],
    ids=range(12),
)
def test_other_images_are_refused_in_a_line(change: Any, trouble: str) -> None:
    for call in (trained(), trained().predict):
        with pytest.raises(DataError, match=trouble) as caught:
            call(change(images()))
        assert "takes images of shape (N, 3, 4, 5), float32 in [0, 1]; got " in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_white_of_the_sensor_is_named() -> None:
    with pytest.raises(DataError, match=r"got uint16: divide by the value of white, such as 4095"):
        trained(bits=12)(images().to(torch.uint16))


def test_gradients_and_free_values_are_possible() -> None:
    model, made = trained(), images().requires_grad_()
    model(made).sum().backward()
    assert made.grad is not None
    outside = images() * 3 - 1
    assert model.head(model.features(outside)).shape == (3, 2)


def test_a_model_can_be_exported_by_torch() -> None:
    program = torch.export.export(trained(), (images(),))
    assert torch.equal(program.module()(images()), trained()(images()))


def test_format_of_weights() -> None:
    shape = dict(zip(("channels", "height", "width"), SHAPE, strict=True))
    new = ModelFormat.of({**shape, "num_classes": 2, "bits": 12, "class_names": ["a", "b"]})
    assert new == ModelFormat(*SHAPE, 2, 12, ("a", "b"))
    assert new.labels == ("a", "b")
    old = ModelFormat.of({**shape, "num_classes": 2})
    assert (old.bits, old.class_names, old.labels) == (8, None, ("0", "1"))
    assert (new.records_names, old.records_names) == (True, False)
    for names in (["a"], ["a", "a"], ["a", 1]):
        with pytest.raises(ValueError, match="2 classes need as many names"):
            ModelFormat.of({**shape, "num_classes": 2, "class_names": names})
