"""How many images are evaluated at once, against what their tensors take by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from tunebox.data.parts import TrainingParts
from tunebox.models.base import Classifier
from tunebox.noise.gaussian import GaussianSettings
from tunebox.spec.training_settings import EvaluationSettings
from tunebox.training import batch_memory
from tunebox.training.batch_memory import evaluation_room, images_at_once
from tunebox.training.evaluate import Evaluator, batches_of, clean_batches, predicted

CPU = torch.device("cpu")
SIDE = 16
# the largest operation of `network` takes 3 channels and gives 8, in float32
BYTES_OF_IMAGE = (3 + 8) * SIDE * SIDE * 4


def network() -> nn.Module:
    wide = nn.Linear(8 * SIDE * SIDE, 500)  # its weights are far larger than an image
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), wide).eval()


def set_memory(patch: pytest.MonkeyPatch, size: int, cores: int = 1, threads: int = 1) -> None:
    patch.setattr(batch_memory, "machine_memory", lambda: size)
    patch.setattr(batch_memory, "num_cores", lambda: cores)
    patch.setattr(torch, "get_num_threads", lambda: threads)


@pytest.mark.parametrize(("room", "expected"), [(1, 1), (7.5, 7), (1000, 40)])
def test_as_many_as_fit_twice_go_through_the_model(
    room: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.zeros(40, 3, SIDE, SIDE)
    set_memory(monkeypatch, 4 * int(room * 2 * BYTES_OF_IMAGE))
    assert images_at_once(network(), images) == expected


def test_a_trial_has_the_share_of_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    set_memory(monkeypatch, 4000, cores=8, threads=2)
    assert evaluation_room(CPU) == 250
    set_memory(monkeypatch, 4000, cores=2, threads=8)
    assert evaluation_room(CPU) == 1000


def test_a_gpu_counts_with_all_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def properties(device: torch.device) -> SimpleNamespace:
        return SimpleNamespace(total_memory=8000)

    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    assert evaluation_room(torch.device("cuda")) == 1000


def test_looking_draws_no_random_numbers() -> None:
    class Drawing(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1) + torch.rand(1)

    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    images_at_once(Drawing(), torch.zeros(2, 1, 4, 4))
    assert torch.equal(torch.rand(3), expected)


def test_predictions_and_noise_do_not_depend_on_the_memory(
    parts: TrainingParts, model: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = EvaluationSettings(noise=GaussianSettings(kind="gaussian", std=0.3))
    batches = list(clean_batches(parts.validation, 64))
    whole = predicted(model, batches)
    metrics = Evaluator(parts.validation, settings)(model)
    largest = 2 * (4 + 4) * 8 * 8 * 4  # batch norm of four channels, twice
    set_memory(monkeypatch, 4 * 3 * largest)
    found = predicted(model, batches)
    assert {len(labels) for _, labels in found} <= {1, 2, 3}
    assert max(len(labels) for _, labels in found) == 3
    for place in (0, 1):
        expected = torch.cat([pair[place] for pair in whole])
        torch.testing.assert_close(torch.cat([pair[place] for pair in found]), expected)
    evaluate = Evaluator(parts.validation, settings)
    for _ in range(2):
        assert evaluate(model) == pytest.approx(metrics, rel=1e-5)
    assert evaluate._kept is None  # no memory is left for noisy images


def test_batches_on_demand_are_those_of_all_images(parts: TrainingParts) -> None:
    images = parts.validation
    batches = batches_of(images, None, 50)
    assert [len(labels) for _, labels in batches][:-1] == [50] * (len(batches) - 1)
    expected = torch.cat([batch for batch, _ in clean_batches(images, 50)])
    assert torch.equal(torch.cat([batch for batch, _ in batches]), expected)
    assert torch.equal(torch.cat([labels for _, labels in batches]), images.labels)
    assert torch.equal(batches[1:][0][0], batches[1][0])
