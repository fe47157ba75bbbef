"""Attributes of images and their attack: SciPy's blur, finite differences, torch's own terms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor
from torch.nn import functional

from tests.losses.make_step import CLASSES, DIM, make_model, make_step, random_images
from tunebox.losses.attributes import Attributes, blurred
from tunebox.losses.settings import TermContext
from tunebox.losses.terms.agat import AgatSettings

ALL = Attributes(blur=1.0, contrast=0.5, brightness=0.2, noise=0.1)


def images(count: int = 3, side: int = 9) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 2, side, side, generator=generator, dtype=torch.float64)


def normal(like: Tensor) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(1), dtype=like.dtype)


def test_blur_is_that_of_scipy_for_each_image() -> None:
    stds = torch.tensor([0.4, 0.8, 1.2], dtype=torch.float64)
    changed = blurred(images(), stds.view(-1, 1, 1, 1), widest=1.2)
    for image, of_image, std in zip(changed, images(), stds.tolist(), strict=True):
        expected = of_image.numpy()
        for axis in (1, 2):
            expected = gaussian_filter1d(expected, std, axis=axis, mode="nearest", radius=3)
        np.testing.assert_allclose(image.numpy(), expected, atol=1e-5)


def test_without_attributes_an_image_stays() -> None:
    zero = torch.zeros(3, 4, dtype=torch.float64)
    torch.testing.assert_close(ALL.change(images(), zero, normal(images())), images())


@pytest.mark.parametrize("attribute", range(4))
def test_each_attribute_changes_what_it_says(attribute: int) -> None:
    only = torch.zeros(3, 4, dtype=torch.float64)
    only[:, attribute] = 0.5
    source = 0.3 + 0.4 * images()  # so that nothing is cut
    changed = ALL.change(source, only, normal(source))
    mean = source.mean(dim=(1, 2, 3), keepdim=True)
    expected = [
        blurred(source, torch.full((3, 1, 1, 1), 0.5), widest=1.0),
        mean + 0.75 * (source - mean),
        source + 0.1,
        (source + 0.05 * normal(source)).clamp(0, 1),
    ]
    torch.testing.assert_close(changed, expected[attribute])


def test_gradient_is_that_of_finite_differences() -> None:
    source = 0.3 + 0.4 * images(2, 4)
    b = torch.full((2, 4), 0.4, dtype=torch.float64, requires_grad=True)
    small = Attributes(blur=0.8, contrast=0.5, brightness=0.1, noise=0.02)
    assert torch.autograd.gradcheck(lambda b: small.change(source, b, normal(source)), (b,))


def test_small_images_can_be_blurred() -> None:
    assert blurred(images(2, 1), torch.ones(2, 1, 1, 1), widest=3.0).shape == (2, 2, 1, 1)


def test_gain_is_the_sum_of_its_published_parts() -> None:
    generator = torch.Generator().manual_seed(2)
    logits, clean = (torch.randn(6, CLASSES, generator=generator) for _ in range(2))
    labels = torch.randint(CLASSES, (6,), generator=generator)
    b = torch.rand(6, 4, generator=generator)
    gain = AgatSettings(penalty=2.0).gain(logits, clean, labels, b)
    p, q = torch.softmax(logits, 1), torch.softmax(clean, 1)
    for image in range(6):
        expected = functional.cross_entropy(logits[[image]], labels[[image]])
        expected = expected - (q * p.log() + (1 - q) * (1 - p).log())[image].mean()
        apart = (1 / (1 + (-logits).exp()) - 1 / (1 + (-clean).exp()))[image]
        penalty = (apart**2).mean() + (b[image] ** 2).mean() + b[image].mean()
        assert gain[image].item() == pytest.approx((expected - 2 * penalty).item(), rel=1e-5)


def test_attack_makes_the_images_harder() -> None:
    """Without a penalty, more steps find attributes with a larger loss than random ones."""
    labels = torch.arange(12) % CLASSES
    values = {}
    for steps in (1, 12):
        settings = AgatSettings(steps=steps, penalty=0.0, step_size=1e-9 if steps == 1 else 0.25)
        term = settings.build(TermContext(CLASSES, DIM, 100))
        model = make_model(settings, 10.0)
        step = make_step(settings, labels, random_images(12), [random_images(12)], model=model)
        values[steps] = term(step).item()
    assert values[12] > values[1]


def test_large_penalty_leaves_the_images_as_they_are() -> None:
    settings = AgatSettings(steps=12, penalty=1000.0)
    labels = torch.arange(12) % CLASSES
    step = make_step(settings, labels, random_images(12), [random_images(12)])
    value = settings.build(TermContext(CLASSES, DIM, 100))(step)
    expected = functional.cross_entropy(step.clean.logits, labels)
    assert value.item() == pytest.approx(expected.item(), abs=0.01)
