"""How the clean and the noisy view of a batch are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tunebox.data.image_set import to_unit_range
from tunebox.losses.context import StepContext, View
from tunebox.models.base import Classifier
from tunebox.models.build import build_classifier
from tunebox.spec.trial_config import TrialConfig
from tunebox.training.draws import EpochDraws
from tunebox.training.views import ViewMaker

MakeConfig = Callable[..., TrialConfig]
CPU = torch.device("cpu")


def draws(seed: int = 0, epoch: int = 0) -> EpochDraws:
    return EpochDraws.of_epoch(seed, epoch, CPU)


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    images = torch.randint(1, 256, (16, 1, 8, 8), generator=generator, dtype=torch.uint8)
    return images, torch.randint(10, (16,), generator=generator)


def model_of(config: TrialConfig) -> Classifier:
    return build_classifier(
        config.model,
        channels=1,
        height=8,
        width=8,
        num_classes=10,
        mean=[0.5],
        std=[0.3],
        seed=0,
    )


PLACES = torch.arange(100, 116)


def maker(config: TrialConfig) -> ViewMaker:
    return ViewMaker(config, model_of(config))


def with_losses(make_config: MakeConfig, **changes: Any) -> TrialConfig:
    """Half of the time cropped; the noise is so small that pixels are recognised."""
    noise = {"kind": "gaussian", "std": 1e-6, "clamp": False}
    losses = {"cross_entropy": {"on": "both"}, "noise": noise}
    return make_config("both", losses=losses | changes)


def test_same_view_shares_crops(make_config: MakeConfig) -> None:
    clean, noisy = maker(with_losses(make_config, view="same")).images(batch()[0], draws())
    assert clean is not None
    assert noisy is not None
    assert not torch.equal(clean, noisy)
    torch.testing.assert_close(clean, noisy, atol=1e-4, rtol=0)


def test_independent_view_has_its_own_crops(make_config: MakeConfig) -> None:
    clean, noisy = maker(with_losses(make_config, view="independent")).images(batch()[0], draws())
    assert clean is not None
    assert noisy is not None
    moved = ((clean - noisy).abs() > 1e-4).flatten(1).any(dim=1)
    assert 8 < int(moved.sum()) < 16  # 1 of 9 places is the same


def test_clean_view_does_not_depend_on_the_noise(make_config: MakeConfig) -> None:
    other_noise = {"kind": "patch_mask", "size": 2, "count": 3}
    first, _ = maker(with_losses(make_config)).images(batch()[0], draws())
    second, _ = maker(with_losses(make_config, noise=other_noise)).images(batch()[0], draws())
    assert first is not None
    assert second is not None
    assert torch.equal(first, second)


def test_unneeded_views_are_not_made(make_config: MakeConfig) -> None:
    images, labels = batch()
    normal = maker(make_config("normal")).make(images, labels, PLACES, 0.25, draws())
    assert normal.views.keys() == normal.images.keys() == {"clean"}
    noisy_only = maker(make_config("noisy_only")).make(images, labels, PLACES, 0.25, draws())
    assert noisy_only.views.keys() == noisy_only.images.keys() == {"noisy"}
    assert noisy_only.noisy.logits.shape == (16, 10)
    assert torch.equal(noisy_only.one_hot.argmax(dim=1), labels)


def running_mean(model: Classifier) -> Tensor:
    return next(value for name, value in model.named_buffers() if name.endswith("running_mean"))


def test_separate_forwards_end_with_the_noisy_statistics(make_config: MakeConfig) -> None:
    config = with_losses(make_config, noise={"kind": "gaussian", "std": 0.5})
    images, labels = batch()
    model, expected = model_of(config), model_of(config)
    views = ViewMaker(config, model)
    made = views.make(images, labels, PLACES, 0.25, draws())
    clean, noisy = views.images(images, draws())
    assert clean is not None
    assert noisy is not None
    torch.testing.assert_close(made.clean.features, expected.features(clean))
    torch.testing.assert_close(made.noisy.features, expected.features(noisy))
    torch.testing.assert_close(running_mean(model), running_mean(expected))


def test_joint_forward_shares_batch_statistics(make_config: MakeConfig) -> None:
    noise = {"kind": "gaussian", "std": 0.5}
    config = with_losses(make_config, noise=noise, forward="joint")
    images, labels = batch()
    model, expected = model_of(config), model_of(config)
    views = ViewMaker(config, model)
    made = views.make(images, labels, PLACES, 0.25, draws())
    clean, noisy = views.images(images, draws())
    assert clean is not None
    assert noisy is not None
    both = expected.features(torch.cat([clean, noisy]))
    torch.testing.assert_close(made.clean.features, both[:16])
    torch.testing.assert_close(made.noisy.features, both[16:])
    torch.testing.assert_close(running_mean(model), running_mean(expected))


def with_copies(make_config: MakeConfig, count: int, **changes: Any) -> TrialConfig:
    noise = {"kind": "gaussian", "std": 0.5}
    terms = {"cross_entropy": {"on": "both"}, "consistency": {"copies": count}, "noise": noise}
    return make_config("both", losses=terms | changes)


@pytest.mark.parametrize("forward", ["separate", "joint"])
def test_noisy_copies_go_through_one_forward(forward: str, make_config: MakeConfig) -> None:
    config = with_copies(make_config, 3, forward=forward)
    images, labels = batch()
    model, expected = model_of(config), model_of(config)
    views = ViewMaker(config, model)
    made = views.make(images, labels, PLACES, 0.25, draws())
    clean, noisy = views.images(images, draws())
    assert clean is not None
    assert noisy is not None
    assert noisy.shape == (48, 1, 8, 8)
    assert len({tuple(copy.flatten().tolist()) for copy in noisy.chunk(3)}) == 3
    torch.testing.assert_close(made.images["noisy"], noisy[:16])
    if forward == "joint":
        features = expected.features(torch.cat([clean, noisy]))[16:]
    else:
        expected.features(clean)
        features = expected.features(noisy)
    for copy, of_copy in zip(made.noisy_copies, features.chunk(3), strict=True):
        torch.testing.assert_close(copy.features, of_copy)
        torch.testing.assert_close(copy.logits, expected.head(of_copy))
    torch.testing.assert_close(made.noisy.features, features[:16])
    torch.testing.assert_close(running_mean(model), running_mean(expected))
    assert made.copies_of("noisy") == made.noisy_copies
    assert made.copies_of("clean") == (made.clean,)


def test_copies_are_of_the_same_crop(make_config: MakeConfig) -> None:
    tiny = {"kind": "gaussian", "std": 1e-6, "clamp": False}
    for view in ("same", "independent"):
        config = with_copies(make_config, 2, view=view, noise=tiny)
        _, noisy = maker(config).images(batch()[0], draws())
        assert noisy is not None
        torch.testing.assert_close(noisy[:16], noisy[16:], atol=1e-4, rtol=0)


def test_without_copies_there_is_the_noisy_view_alone(make_config: MakeConfig) -> None:
    images, labels = batch()
    step = maker(with_losses(make_config)).make(images, labels, PLACES, 0.25, draws())
    assert step.noisy_copies == ()
    assert step.copies_of("noisy") == (step.noisy,)


def test_uint8_to_unit_range() -> None:
    scaled = to_unit_range(torch.tensor([0, 51, 255], dtype=torch.uint8), 8)
    assert scaled.tolist() == [0.0, torch.tensor(0.2).item(), 1.0]


def test_draws_depend_on_seed_and_epoch_alone() -> None:
    def first_number(seed: int, epoch: int) -> float:
        return torch.rand(1, generator=draws(seed, epoch).clean).item()

    assert first_number(1, 2) == first_number(1, 2)
    assert len({first_number(seed, epoch) for seed in range(5) for epoch in range(5)}) == 25
    both = draws()
    assert torch.rand(1, generator=both.clean) != torch.rand(1, generator=both.noisy)


def test_a_step_has_places_progress_images_and_a_generator(make_config: MakeConfig) -> None:
    config = with_losses(make_config)
    images, labels = batch()
    step = maker(config).make(images, labels, PLACES, 0.25, draws())
    clean, noisy = maker(config).images(images, draws())
    assert torch.equal(step.indices, PLACES)
    assert step.progress == 0.25
    assert clean is not None
    assert noisy is not None
    assert torch.equal(step.images["clean"], clean)
    assert torch.equal(step.images["noisy"], noisy)
    first = torch.rand(3, generator=step.generator)
    assert torch.equal(first, torch.rand(3, generator=draws().terms))
    assert step.head is step.model.head


def attacked(step: StepContext) -> View:
    """One step of the fast gradient sign method, as an adversarial term makes its view."""
    images = step.images["clean"].clone().requires_grad_()
    loss = cross_entropy(step.forward(images, batch_norm="frozen").logits, step.labels)
    [gradient] = torch.autograd.grad(loss, [images])
    stronger = (images + 0.1 * gradient.sign()).clamp(0, 1).detach()
    return step.forward(stronger, batch_norm="frozen")


def test_an_attack_with_frozen_statistics_leaves_them_as_they_are(make_config: MakeConfig) -> None:
    config = make_config("normal")
    images, labels = batch()
    model = model_of(config)
    views = ViewMaker(config, model)
    step = views.make(images, labels, PLACES, 0.0, draws())
    before = {name: value.clone() for name, value in model.named_buffers()}
    view = attacked(step)
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    assert all(module.training for module in model.modules())
    loss = cross_entropy(view.logits, labels)
    clean = step.forward(step.images["clean"], batch_norm="frozen")
    assert loss > cross_entropy(clean.logits, labels)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_a_forward_that_updates_counts_in_the_statistics(make_config: MakeConfig) -> None:
    config = make_config("normal")
    images, labels = batch()
    model = model_of(config)
    step = ViewMaker(config, model).make(images, labels, PLACES, 0.0, draws())
    before = running_mean(model).clone()
    step.forward(step.images["clean"])
    assert not torch.equal(running_mean(model), before)


def test_modes_come_back_after_an_error(make_config: MakeConfig) -> None:
    config = make_config("normal")
    images, labels = batch()
    model = model_of(config)
    step = ViewMaker(config, model).make(images, labels, PLACES, 0.0, draws())
    with pytest.raises(RuntimeError):
        step.forward(torch.zeros(2, 7, 8, 8), batch_norm="frozen")
    assert all(module.training for module in model.modules())


def with_attack(make_config: MakeConfig, **changes: Any) -> TrialConfig:
    return make_config("normal", losses={"pgd": {"epsilon": 0.1, "steps": 1}}, **changes)


def test_images_that_only_a_term_uses_have_no_forward(make_config: MakeConfig) -> None:
    config = with_attack(make_config)
    images, labels = batch()
    model = model_of(config)
    before = running_mean(model).clone()
    step = ViewMaker(config, model).make(images, labels, PLACES, 0.0, draws())
    assert step.views == {}
    assert step.images.keys() == {"clean"}
    assert torch.equal(running_mean(model), before)
    assert step.noisy_images == ()
    assert step.teacher is None


def test_noisy_images_are_those_of_all_copies(make_config: MakeConfig) -> None:
    images, labels = batch()
    step = maker(with_copies(make_config, 3)).make(images, labels, PLACES, 0.0, draws())
    _, noisy = maker(with_copies(make_config, 3)).images(images, draws())
    assert noisy is not None
    assert len(step.noisy_images) == 3
    assert torch.equal(torch.cat(step.noisy_images), noisy)
    assert torch.equal(step.images["noisy"], step.noisy_images[0])


def test_gradient_is_there_after_a_rounded_forward_without_one(make_config: MakeConfig) -> None:
    """Autocast remembers rounded weights: those of a forward without gradient have none."""
    config = with_attack(make_config, training={"precision": "bfloat16"})
    images, labels = batch()
    model = model_of(config)
    step = ViewMaker(config, model).make(images, labels, PLACES, 0.0, draws())
    with torch.autocast("cpu", enabled=False):  # as around the terms of a step
        with torch.no_grad():
            step.forward(step.images["clean"])
        loss = cross_entropy(step.forward(step.images["clean"]).logits, labels)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and bool(p.grad.any()) for p in model.parameters())


def test_what_is_differentiated_twice_is_never_rounded(make_config: MakeConfig) -> None:
    images, labels = batch()
    rounded = with_attack(make_config, training={"precision": "bfloat16"})
    exact = with_attack(make_config, training={"precision": "float32"})
    values = {}
    for name, config in (("rounded", rounded), ("exact", exact)):
        step = maker(config).make(images, labels, PLACES, 0.0, draws())
        values[name] = step.forward(step.images["clean"], second_order=True).logits
        once = step.forward(step.images["clean"]).logits
        assert torch.equal(once, values[name]) == (name == "exact")
    torch.testing.assert_close(values["rounded"], values["exact"], rtol=1e-3, atol=1e-3)


def test_attention_has_second_derivatives() -> None:
    """Fused attention, as PyTorch chooses it for a transformer, has none."""
    config = TrialConfig.model_validate(
        {
            "data": {"kind": "digits"},
            "model": {"kind": "mlp"},
            "losses": {"pgd": {"epsilon": 0.1}},
            "optimizer": {"kind": "sgd", "lr": 0.1},
            "evaluation": {"noise": {"kind": "gaussian", "std": 0.1}},
        }
    )
    model = Classifier(Attention(), nn.Linear(8, 10), [0.0], [1.0])
    images, labels = batch()
    step = ViewMaker(config, model).make(images, labels, PLACES, 0.0, draws())
    points = step.images["clean"].requires_grad_()
    loss = cross_entropy(step.forward(points, second_order=True).logits, labels)
    [gradient] = torch.autograd.grad(loss, [points], create_graph=True)
    gradient.square().sum().backward()  # type: ignore[no-untyped-call]
    assert model.head.weight.grad is not None
    assert bool(model.head.weight.grad.any())


class Attention(nn.Module):
    """The rows of an image as tokens that look at each other."""

    def forward(self, images: Tensor) -> Tensor:
        tokens = images.transpose(1, 2)  # (B, 8, 1, 8): tokens, heads, values
        heads = tokens.transpose(1, 2)
        return nn.functional.scaled_dot_product_attention(heads, heads, heads).mean(dim=(1, 2))
