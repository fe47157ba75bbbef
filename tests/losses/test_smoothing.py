"""Losses of smoothed classifiers: known values, SciPy, torch's own distributions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scipy.stats import norm
from torch import Tensor
from torch.distributions import Categorical, kl_divergence
from torch.nn import functional

from tests.losses.linear_model import BIAS, CONTEXT, IMAGES, LABELS, WEIGHT, linear_step
from tests.losses.make_context import make_context
from tests.losses.references import double
from tunebox.losses.context import StepContext, View
from tunebox.losses.smoothing import (
    attacked_noises,
    confident_loss,
    copy_divergences,
    copy_losses,
    info_nce,
    macer_loss,
    mean_probability_losses,
    restandardized,
)
from tunebox.losses.terms.cat_rs import CatRsSettings
from tunebox.losses.terms.nce_align import NceAlignSettings
from tunebox.losses.terms.smoothing import (
    MacerSettings,
    SmoothAdvSettings,
    SmoothMixSettings,
    mixed_targets,
)
from tunebox.metrics.attacks import gradient

# four copies of two images
COPIES = torch.stack(
    [
        double([[2, 0, -1], [0, 3, 0]]),
        double([[1, 1.5, 0], [1, 2, 0]]),
        double([[0.5, 0, 0], [0.5, 1, 0]]),
        double([[0, 0.2, 0.1], [0, 2, 0.1]]),
    ]
)
TWO = torch.tensor([0, 1])
TARGETS = double([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])
NOISE = double([[0.1, -0.1, 0.1]])
SIZES = {"std": 0.25, "factor": 12.0, "gamma": 8.0}


def step_of(copies: Tensor, labels: Tensor) -> StepContext:
    views = [View(logits, logits) for logits in copies]
    made = make_context(labels, torch.nn.Linear(3, 3), views[0], views[0])
    return replace(made, noisy_copies=tuple(views))


def test_known_losses_of_copies() -> None:
    losses = copy_losses(COPIES, TWO).T.flatten().tolist()
    expected = [0.169846, 1.104131, 0.794377, 1.201943, 0.094923, 0.407606, 0.680270, 0.250684]
    assert losses == pytest.approx(expected, abs=1e-6)
    right = (COPIES.argmax(dim=2) == TWO).double().mean(dim=0)
    assert right.tolist() == [0.5, 1]


def test_known_losses_of_the_smallest_copies() -> None:
    losses = copy_losses(COPIES, TWO)
    for counts, expected in (
        ([2, 4], [0.241056, 0.358371]),
        ([1, 4], [0.042462, 0.358371]),
        ([3, 4], [0.517088, 0.358371]),
    ):
        found = confident_loss(losses, torch.tensor(counts)).tolist()
        assert found == pytest.approx(expected, abs=1e-6)


def test_known_loss_of_cat_rs() -> None:
    attacked = COPIES - 0.5 * functional.one_hot(TWO, 3)
    worst = copy_divergences(TARGETS, attacked).amax(dim=0)
    assert worst.tolist() == pytest.approx([0.574243, 0.368988], abs=1e-6)
    total = CatRsSettings().of_logits(COPIES, attacked, TWO, TARGETS, torch.tensor([2, 4]))
    assert total.item() == pytest.approx(0.484207, abs=1e-6)


def test_divergence_is_that_of_torch_distributions() -> None:
    expected = kl_divergence(Categorical(TARGETS), Categorical(logits=COPIES))
    torch.testing.assert_close(copy_divergences(TARGETS, COPIES), expected)
    sure = double([[1, 0, 0], [0, 1, 0]])  # 0 log 0 = 0
    assert copy_divergences(sure, COPIES)[0, 0].item() == pytest.approx(0.169846, abs=1e-6)


def test_known_noise_after_an_attack() -> None:
    like, noise = double([[0.1, -0.2, 0.3, 0]]), double([[0.6, -0.2, 0.3, 0]])
    expected = [0.277172, -0.150446, 0.116815, -0.043541]
    assert restandardized(noise, like)[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_attacked_noise_still_looks_like_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    noises = 0.25 * torch.randn(3, 5, 1, 8, 8, generator=generator, dtype=torch.float64)
    wanted = torch.randn(1, 8, 8, generator=generator, dtype=torch.float64)

    def losses_of(points: Tensor) -> Tensor:
        return (points * wanted).sum(dim=(2, 3, 4))

    attacked = attacked_noises(losses_of, noises, radius=1.0, num_steps=4)
    assert attacked.shape == noises.shape
    assert bool((losses_of(attacked) > losses_of(noises)).all())
    for before, after in zip(noises.flatten(0, 1), attacked.flatten(0, 1), strict=True):
        assert after.mean().item() == pytest.approx(before.mean().item())
        sizes = [noise.square().mean().sqrt().item() for noise in (before, after)]
        assert sizes[1] == pytest.approx(sizes[0], rel=0.05)
        assert (after - before).norm() < 1.5  # projected before its size is put back
    still = attacked_noises(lambda points: 0 * points.sum(), 0 * noises, radius=1.0, num_steps=2)
    assert not still.any()


def test_counts_are_binomial() -> None:
    settings = CatRsSettings()
    step = step_of(COPIES, TWO)
    drawn = torch.stack([settings._counts(step, COPIES, TARGETS) for _ in range(4000)]).double()
    assert bool((drawn[:, 1] == 4).all())  # all copies are right
    shares = [(drawn[:, 0] == count).double().mean().item() for count in (1, 2, 3, 4)]
    assert shares == pytest.approx([5 / 16, 6 / 16, 4 / 16, 1 / 16], abs=0.03)
    teacher = CatRsSettings(confidence="teacher")
    drawn = torch.stack([teacher._counts(step, COPIES, TARGETS) for _ in range(4000)]).double()
    assert (drawn[:, 1] == 4).double().mean().item() == pytest.approx(0.8**4, abs=0.03)


def test_cat_rs_of_a_linear_model_is_finite_and_above_its_parts() -> None:
    settings = CatRsSettings(copies=2, epsilon=0.5, steps=3)
    step = linear_step(settings, IMAGES, NOISE, -NOISE)
    value = settings.build(CONTEXT)(step)
    value.backward()
    assert value.isfinite()
    assert step.head.weight.grad is not None
    with pytest.raises(ValueError, match="greater than or equal to 2"):
        CatRsSettings(copies=1)


@pytest.mark.parametrize(
    ("beta", "radii", "total"),
    [(16.0, [0.143024, 7.526381], 6.780748), (4.0, [0.420534, 3.599570], 9.517723)],
)
def test_known_loss_of_macer(beta: float, radii: list[float], total: float) -> None:
    top = torch.softmax(beta * COPIES, 2).mean(dim=0).topk(2, dim=1).values.numpy()
    assert (norm.ppf(top[:, 0]) - norm.ppf(top[:, 1])).tolist() == pytest.approx(radii, abs=1e-5)
    settings = MacerSettings(beta=beta, copies=4)
    value = settings.build(CONTEXT)(step_of(COPIES, TWO))
    assert value.item() == pytest.approx(total, abs=1e-5)


def test_known_classification_part_of_macer() -> None:
    for image, expected in enumerate([0.729933, 0.335671]):
        one = COPIES[:, [image]]
        without = macer_loss(one, TWO[[image]], std=0.0, factor=12.0, beta=16.0, gamma=8.0)
        assert without.item() == pytest.approx(expected, abs=1e-6)
        assert mean_probability_losses(one, TWO[[image]]).item() == pytest.approx(
            expected, abs=1e-6
        )


def test_macer_leaves_out_what_is_wrong_or_sure() -> None:
    wrong = torch.tensor([2, 2])
    cls = mean_probability_losses(COPIES, wrong).mean()
    assert macer_loss(COPIES, wrong, beta=16.0, **SIZES).item() == pytest.approx(cls.item())
    sure = torch.zeros(4, 2, 3)  # in float32 the sharpened mean is 1 exactly
    sure[:, [0, 1], TWO] = 100.0
    sure.requires_grad_()
    value = macer_loss(sure, TWO, beta=16.0, **SIZES)
    value.backward()  # type: ignore[no-untyped-call]
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert sure.grad is not None
    assert not sure.grad.isnan().any()


def test_gradients_are_those_of_finite_differences() -> None:
    copies = COPIES.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: macer_loss(z, TWO, beta=4.0, **SIZES), (copies,))
    assert torch.autograd.gradcheck(lambda z: mean_probability_losses(z, TWO), (copies,))
    counts = torch.tensor([2, 4])
    assert torch.autograd.gradcheck(
        lambda z: confident_loss(copy_losses(z, TWO), counts), (copies,)
    )
    assert torch.autograd.gradcheck(
        lambda t, z: copy_divergences(t.softmax(1), z), (TARGETS.clone().requires_grad_(), copies)
    )
    rows = double([[1, 0.2], [1, 1], [0.1, 1]]).requires_grad_()
    assert torch.autograd.gradcheck(lambda h: info_nce(h, WEIGHT[:, :2], 0.2), (rows,))


def test_macer_needs_noise_of_a_known_size() -> None:
    from tunebox.losses.settings import LossesSettings

    with pytest.raises(ValueError, match="macer needs noise of the kind gaussian"):
        LossesSettings.model_validate({"macer": {}, "noise": {"kind": "uniform", "epsilon": 0.1}})


@pytest.mark.parametrize("kind", ["smooth_adv", "smooth_mix", "cat_rs", "nce_align"])
def test_noise_is_added_to_the_clean_image_of_the_same_crop(kind: str) -> None:
    from tunebox.losses.settings import LossesSettings

    losses = {kind: {"epsilon": 0.5} if kind == "smooth_adv" else {}}
    noise = {"noise": {"kind": "gaussian", "std": 0.1}}
    LossesSettings.model_validate(losses | noise)
    with pytest.raises(ValueError, match=f"{kind} needs view: same"):
        LossesSettings.model_validate(losses | noise | {"view": "independent"})


def smoothed_losses(pixels: Tensor) -> Tensor:
    logits = torch.stack(
        [functional.linear(pixels + noise, WEIGHT, BIAS) for noise in (NOISE, -NOISE)]
    )
    return mean_probability_losses(logits, LABELS)


def test_known_attack_of_the_smoothed_prediction() -> None:
    assert smoothed_losses(IMAGES).mean().item() == pytest.approx(1.342144, abs=1e-6)
    direction = functional.normalize(gradient(smoothed_losses, IMAGES), dim=1)
    expected = double(
        [
            [-0.520426, -0.010148, -0.853846],
            [0.270012, -0.338523, 0.901385],
            [0.692235, 0.676195, 0.252132],
            [-0.459155, 0.088974, -0.883890],
        ]
    )
    torch.testing.assert_close(direction, expected, atol=1e-6, rtol=0)


def test_known_images_and_loss_of_smooth_adv() -> None:
    settings = SmoothAdvSettings(epsilon=0.5, steps=1, copies=2, warmup=0.0)
    step = linear_step(settings, IMAGES, NOISE, -NOISE)
    noises = torch.stack(step.noisy_images) - step.images["clean"]
    points = settings.attacked(step, noises, 0.5, 1.0, 1).flatten(1)
    expected = double(
        [
            [0, 0.394926, 0.173077],
            [1, 0, 0.950693],
            [0.646118, 1, 0.226066],
            [0.270423, 0.544487, 0.058055],
        ]
    )
    torch.testing.assert_close(points, expected, atol=1e-6, rtol=0)
    loss = torch.stack(
        [
            functional.cross_entropy(functional.linear(points + noise, WEIGHT, BIAS), LABELS)
            for noise in (NOISE, -NOISE)
        ]
    ).mean()
    assert settings.build(CONTEXT)(step).item() == pytest.approx(loss.item())


def test_radius_of_smooth_adv_grows() -> None:
    values = []
    for progress in (0.0, 0.05, 0.1, 0.5):
        settings = SmoothAdvSettings(epsilon=0.5, steps=2, copies=2, warmup=0.1)
        step = replace(linear_step(settings, IMAGES, NOISE, -NOISE), progress=progress)
        values.append(settings.build(CONTEXT)(step).item())
    assert values[0] < values[1] < values[2] == values[3]
    clean = linear_step(settings, IMAGES, NOISE, -NOISE)
    expected = functional.cross_entropy(
        torch.cat([copy.logits for copy in clean.noisy_copies]), LABELS.repeat(2)
    )
    assert values[0] == pytest.approx(expected.item())


def test_known_targets_of_smooth_mix() -> None:
    first, second = double([[2, 0, -1], [0.5, 1, 0]]), double([[1, 1, 0], [0, 2, 1]])
    mean = torch.stack([first, second]).softmax(dim=2).mean(dim=0)
    targets = mixed_targets(mean, torch.tensor([0.3, 0.1], dtype=torch.float64))
    expected = double([[0.543140, 0.287780, 0.169080], [0.212085, 0.560608, 0.227307]])
    torch.testing.assert_close(targets, expected, atol=1e-6, rtol=0)
    divergences = copy_divergences(targets, first.unsqueeze(0))[0]
    assert divergences.tolist() == pytest.approx([0.262153, 0.023537], abs=1e-6)


def test_smooth_mix_agrees_with_its_formula() -> None:
    settings = SmoothMixSettings(steps=2, step_size=0.3, warmup=0.0)
    step = linear_step(settings, IMAGES, NOISE, -NOISE)
    value = settings.build(CONTEXT)(step)
    points = IMAGES
    for _ in range(2):
        direction = functional.normalize(gradient(smoothed_losses, points), dim=1)
        points = (points + 0.3 * direction).clamp(0, 1)
    draws = torch.Generator().manual_seed(1)
    shares = torch.rand((4, 1, 1, 1), generator=draws, dtype=torch.float64).view(4, 1) / 2
    mixed = (1 - shares) * IMAGES + shares * points

    def p(pixels: Tensor) -> Tensor:
        return functional.linear(pixels, WEIGHT, BIAS).softmax(dim=1)

    mean = (p(IMAGES + NOISE) + p(IMAGES - NOISE)) / 2
    targets = Categorical((1 - shares) * mean + shares / 3)
    apart = sum(kl_divergence(targets, Categorical(p(mixed + n))) for n in (NOISE, -NOISE)) / 2
    expected = (apart * (mean.argmax(dim=1) == LABELS)).mean()
    assert 0 < (mean.argmax(dim=1) == LABELS).sum() < 4
    assert value.item() == pytest.approx(expected.item())


def test_known_contrast_of_noise_levels() -> None:
    features, others = double([[1, 0], [1, 1], [0, 1]]), double([[1, 0.1], [0.8, 1], [-0.2, 1]])
    values = info_nce(features, others, 0.2)
    assert values.tolist() == pytest.approx([0.148040, 0.367590, 0.322534], abs=1e-6)
    assert values.mean().item() == pytest.approx(0.279388, abs=1e-6)


def test_contrast_is_the_cross_entropy_of_finding_the_partner() -> None:
    generator = torch.Generator().manual_seed(0)
    features, others = (torch.randn(6, 4, generator=generator) for _ in range(2))
    scores = functional.cosine_similarity(features.unsqueeze(1), others.unsqueeze(0), dim=2) / 0.5
    expected = functional.cross_entropy(scores, torch.arange(6), reduction="none")
    torch.testing.assert_close(info_nce(features, others, 0.5), expected)
    alone = info_nce(features, others, 0.5, torch.zeros(6, dtype=torch.int64))
    assert not alone.any()  # all others are of the same class
    masked = info_nce(features, others, 0.5, torch.arange(6))
    torch.testing.assert_close(masked, expected)


def test_less_noisy_side_shares_the_noise_and_has_no_gradient() -> None:
    """With the ratio near 1 both sides are the same, and each image is its own partner."""
    settings = NceAlignSettings(ratio=0.999999)
    step = linear_step(settings, IMAGES, NOISE)
    value = settings.build(CONTEXT)(step)
    scores = functional.cosine_similarity(
        step.noisy.features.unsqueeze(1), step.noisy.features.unsqueeze(0), dim=2
    )
    expected = functional.cross_entropy(scores / 0.2, torch.arange(4))
    assert value.item() == pytest.approx(expected.item(), rel=1e-4)
    at_clean = NceAlignSettings(ratio=0.0).build(CONTEXT)(step)
    expected = info_nce(step.noisy.features, step.clean.features, 0.2).mean()
    assert at_clean.item() == pytest.approx(expected.item())
