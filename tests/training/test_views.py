"""How the clean and the noisy view of a batch are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tunebox.models.base import Classifier
from tunebox.models.build import build_classifier
from tunebox.spec.trial_config import TrialConfig
from tunebox.training.draws import EpochDraws
from tunebox.training.views import ViewMaker, to_unit_range

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


def maker(config: TrialConfig, clean: bool = True, noisy: bool = True) -> ViewMaker:
    return ViewMaker(config, model_of(config), clean=clean, noisy=noisy)


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
    normal = maker(make_config("normal"), noisy=False).make(images, labels, draws())
    assert normal.noisy_view is None
    noisy_only = maker(make_config("noisy_only"), clean=False).make(images, labels, draws())
    assert noisy_only.clean_view is None
    assert noisy_only.noisy.logits.shape == (16, 10)
    assert torch.equal(noisy_only.one_hot.argmax(dim=1), labels)


def running_mean(model: Classifier) -> Tensor:
    return next(value for name, value in model.named_buffers() if name.endswith("running_mean"))


def test_separate_forwards_end_with_the_noisy_statistics(make_config: MakeConfig) -> None:
    config = with_losses(make_config, noise={"kind": "gaussian", "std": 0.5})
    images, labels = batch()
    model, expected = model_of(config), model_of(config)
    views = ViewMaker(config, model, clean=True, noisy=True)
    made = views.make(images, labels, draws())
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
    views = ViewMaker(config, model, clean=True, noisy=True)
    made = views.make(images, labels, draws())
    clean, noisy = views.images(images, draws())
    assert clean is not None
    assert noisy is not None
    both = expected.features(torch.cat([clean, noisy]))
    torch.testing.assert_close(made.clean.features, both[:16])
    torch.testing.assert_close(made.noisy.features, both[16:])
    torch.testing.assert_close(running_mean(model), running_mean(expected))


def test_uint8_to_unit_range() -> None:
    scaled = to_unit_range(torch.tensor([0, 51, 255], dtype=torch.uint8))
    assert scaled.tolist() == [0.0, torch.tensor(0.2).item(), 1.0]


def test_draws_depend_on_seed_and_epoch_alone() -> None:
    def first_number(seed: int, epoch: int) -> float:
        return torch.rand(1, generator=draws(seed, epoch).clean).item()

    assert first_number(1, 2) == first_number(1, 2)
    assert len({first_number(seed, epoch) for seed in range(5) for epoch in range(5)}) == 25
    both = draws()
    assert torch.rand(1, generator=both.clean) != torch.rand(1, generator=both.noisy)
