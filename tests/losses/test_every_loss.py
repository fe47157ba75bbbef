"""What every term promises, whichever it is."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.losses.make_step import CLASSES, DIM, make_model, make_step, random_images
from tunebox.losses.base import LossTerm, WeightedLosses, build_losses
from tunebox.losses.context import StepContext
from tunebox.losses.settings import BaseLossSettings, LossesSettings, TermContext, TermSettings
from tunebox.losses.terms.stability import stability_loss

BATCH = 12
CONTEXT = TermContext(CLASSES, DIM, num_images=100, noise_std=0.25)
LABELS = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2, 3, 0, 1, 0])

# name: kind and settings; each kind of term is here, in each of its forms
TERMS: dict[str, dict[str, Any]] = {
    "ael": {"on": "clean"},
    "agat": {},
    "agce": {"on": "noisy"},
    "anti_collapse": {},
    "anti_collapse all classes": {"rows": "all_classes", "scaling": "repository"},
    "anti_collapse features": {"rows": "features", "form": "linear", "on": "both"},
    "arc_face": {"on": "clean"},
    "atent": {"epsilon": 0.1, "steps": 2},
    "atent l2": {"epsilon": 0.5, "norm": "l2", "steps": 3, "average": 0.5},
    "cat_rs": {"steps": 2},
    "cat_rs teacher": {"copies": 2, "confidence": "teacher", "steps": 1},
    "center": {},
    "center both": {"on": "both"},
    "centroid_bisector_margin": {},
    "centroid_bisector_margin both": {"on": "both", "margin": 3.0},
    "class_distribution": {},
    "consistency": {"copies": 3},
    "consistency kl": {"form": "kl"},
    "consistency cross_entropy": {"form": "cross_entropy"},
    "consistency mse": {"form": "mse"},
    "cos_face": {"on": "both"},
    "cross_entropy": {"on": "clean"},
    "cross_entropy noisy": {"on": "noisy"},
    "cross_entropy both": {"on": "both"},
    "cure": {},
    "cure norm": {"power": 1, "warmup": 0.9},
    "cure normal": {"direction": "normal"},
    "discriminative": {},
    "focal": {"on": "clean", "gamma": 2.0},
    "gce": {"on": "clean"},
    "gini": {"start": 0.5},
    "input_gradient": {},
    "jacobian": {"projections": 2},
    "jacobian exact": {"projections": 5},
    "label_smoothing": {"on": "clean"},
    "lm_softmax": {"on": "clean", "scale": 64.0},
    "macer": {},
    "macer few": {"copies": 3, "beta": 4.0},
    "mae": {"on": "clean"},
    "nce_align": {},
    "nce_align classes": {"mask_same_class": True, "ratio": 0.0},
    "nce_rce": {"on": "clean"},
    "norm_face": {"on": "clean"},
    "pgd": {"epsilon": 0.1},
    "pgd without draws": {"epsilon": 0.5, "norm": "l2", "random_start": False, "steps": 2},
    "phuber": {"on": "clean"},
    "sample_margin": {},
    "sce": {"on": "clean"},
    "sigmoid_center": {},
    "simplex_square": {"on": "clean"},
    "smooth_adv": {"epsilon": 0.5, "steps": 2},
    "smooth_adv one": {"epsilon": 0.5, "copies": 1, "steps": 2, "warmup": 0.9},
    "smooth_mix": {"steps": 2},
    "square": {"on": "clean", "label_factor": 15.0, "label_value": 30.0},
    "squentropy": {"on": "clean"},
    "stability": {},
    "stability kl": {"distance": "kl"},
    "stability cross_entropy": {"distance": "cross_entropy"},
    "trades": {"epsilon": 0.1, "steps": 2},
    "trades l2": {"epsilon": 0.5, "norm": "l2", "steps": 2},
    "unhinged": {"on": "clean", "feature_penalty": 0.1},
    "zero_centroid": {},
}


def settings_of(name: str) -> TermSettings:
    kind = name.partition(" ")[0]
    return TermSettings.kinds()[kind].model_validate({"kind": kind, **TERMS[name]})


@pytest.fixture(params=sorted(TERMS))
def settings(request: pytest.FixtureRequest) -> TermSettings:
    return settings_of(request.param)


def build(settings: TermSettings) -> LossTerm:
    return settings.build(CONTEXT)


def random_step(
    settings: TermSettings, seed: int = 0, dtype: torch.dtype = torch.float32
) -> StepContext:
    images = random_images(BATCH, seed)
    noisy = [random_images(BATCH, seed + 100 + copy) for copy in range(settings.num_copies)]
    return make_step(settings, LABELS, images, noisy, dtype=dtype)


def test_every_kind_is_here() -> None:
    assert {name.partition(" ")[0] for name in TERMS} == set(TermSettings.kinds())


def test_gradient_reaches_the_model_through_the_views_it_says(settings: TermSettings) -> None:
    clean = random_images(BATCH).requires_grad_()
    noisy = [random_images(BATCH, 1 + n).requires_grad_() for n in range(settings.num_copies)]
    step = make_step(settings, LABELS, clean, noisy)
    value = build(settings)(step)
    assert value.shape == ()
    assert value.isfinite()
    value.backward()
    reached = {"clean"} if has_gradient(clean) else set()
    if all(has_gradient(copy) for copy in noisy):
        reached.add("noisy")
    assert reached == set(settings.views)
    of_model = {name for name, p in step.model.named_parameters() if has_gradient(p)}
    assert of_model
    assert ("backbone.1.weight" in of_model) == bool(settings.views or settings.image_views)


def has_gradient(tensor: Tensor) -> bool:
    return tensor.grad is not None and bool(tensor.grad.any())


HARD = ["one_class", "absent_classes", "two_images", "large_logits", "zero_features"]


@pytest.mark.parametrize("hard", HARD)
def test_finite_on_hard_inputs(settings: TermSettings, hard: str) -> None:
    labels = {
        "one_class": torch.full((BATCH,), 3),
        "absent_classes": torch.tensor([0, 4] * 6),
        "two_images": torch.tensor([2, 2]),
    }.get(hard, LABELS)
    model = make_model(settings, 1e5 if hard == "large_logits" else 1.0)
    factor = 0 if hard == "zero_features" else 1
    images = [factor * random_images(len(labels), n) for n in range(settings.num_copies + 1)]
    term = build(settings)
    for _ in range(2):  # the second time with what the first has left
        step = make_step(settings, labels, images[0], images[1:], model=model)
        if hard == "large_logits" and settings.cosine_scale is None:
            assert step.clean.logits.abs().amax() > 1e4
        value = term(step)
        assert value.isfinite()
        gradients = torch.autograd.grad(value, [*model.parameters()], allow_unused=True)
        found = [gradient for gradient in gradients if gradient is not None]
        assert all(gradient.isfinite().all() for gradient in found)
        bound = 1e3 if hard == "zero_features" else torch.inf
        assert all(gradient.abs().amax() < bound for gradient in found)


def test_a_diverged_model_raises_no_exception(settings: TermSettings) -> None:
    """The search sees the loss, and says that the trial diverged, not that it failed."""
    model = make_model(settings)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    images = [random_images(BATCH, n) for n in range(settings.num_copies + 1)]
    build(settings)(make_step(settings, LABELS, images[0], images[1:], model=model)).backward()


def draws(settings: TermSettings) -> bool:
    step = random_step(settings)
    before = step.generator.get_state()
    build(settings)(step)
    return not torch.equal(step.generator.get_state(), before)


def test_order_of_the_batch_does_not_matter(settings: TermSettings) -> None:
    if draws(settings):
        pytest.skip("draws one image after the other")
    images = [random_images(BATCH, n) for n in range(settings.num_copies + 1)]
    order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(2))
    term = build(settings).eval()  # so that both calls see the same memory
    value = term(make_step(settings, LABELS, images[0], images[1:]))
    permuted = [image[order] for image in images]
    again = term(make_step(settings, LABELS[order], permuted[0], permuted[1:]))
    torch.testing.assert_close(again, value)


def test_memory_survives_save_and_load(settings: TermSettings) -> None:
    term = build(settings)
    term(random_step(settings, 2))
    file = io.BytesIO()
    torch.save(term.state_dict(), file)
    file.seek(0)
    restored = build(settings)
    restored.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(restored(random_step(settings, 3)), term(random_step(settings, 3)))


def test_nothing_is_remembered_across_trials(settings: TermSettings) -> None:
    first = build(settings)
    value = first(random_step(settings, 4))
    first(random_step(settings, 5))
    assert torch.equal(build(settings)(random_step(settings, 4)), value)


def test_draws_come_from_the_generator_of_the_step_alone(settings: TermSettings) -> None:
    values = []
    for seed in (1, 2):
        step = random_step(settings, 4)
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        values.append(build(settings)(step))
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*values)


class Graph:
    """Counts the bytes that the graph of a step holds for its backward."""

    def __init__(self) -> None:
        self.held = self.most = 0

    def pack(self, tensor: Tensor) -> Held:
        return Held(self, tensor)

    def add(self, num_bytes: int) -> None:
        self.held += num_bytes
        self.most = max(self.most, self.held)


class Held:
    def __init__(self, graph: Graph, tensor: Tensor) -> None:
        # detached: a graph that holds one of its own outputs would never be freed
        self.graph, self.tensor = graph, tensor.detach()
        graph.add(tensor.nbytes)

    def __del__(self) -> None:
        self.graph.add(-self.tensor.nbytes)


def most_held(settings: TermSettings) -> int:
    """The most bytes that the graph of a step holds, after steps that leave nothing."""
    term, graph = build(settings), Graph()
    with torch.autograd.graph.saved_tensors_hooks(graph.pack, lambda held: held.tensor):
        for number in range(3):
            graph.most = 0
            value = term(random_step(settings, number))
            value.backward()
            del value
            assert graph.held == 0  # what the term remembers keeps no graph alive
    return graph.most


def test_memory_of_a_step_is_bounded(settings: TermSettings) -> None:
    most = most_held(settings)
    if "steps" in type(settings).model_fields:
        longer = settings.model_copy(update={"steps": 5 + settings.steps})  # type: ignore[attr-defined]
        # the loss of a chain is a sum over its images, so the graph of each is kept
        factor = 5 + settings.steps if settings.kind == "atent" else 1  # type: ignore[attr-defined]
        assert most_held(longer) <= factor * most


def test_half_precision_views_and_autocast_still_give_float32(settings: TermSettings) -> None:
    losses = WeightedLosses({"term": build(settings)}, {"term": 1.0})
    with torch.autocast("cpu", torch.bfloat16):
        total, values = losses(random_step(settings, dtype=torch.bfloat16))
    assert total.dtype == values["term"].dtype == torch.float32
    expected = build(settings)(random_step(settings))
    assert total.item() == pytest.approx(expected.item(), rel=0.05, abs=0.02)


def test_no_term_makes_the_host_wait(settings: TermSettings) -> None:
    """Fake tensors have no values: reading one, as ``item`` or ``if`` would, is an error."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        labels = torch.zeros(BATCH, dtype=torch.int64)
        images = [torch.rand(BATCH, 1, 4, 4) for _ in range(settings.num_copies + 1)]
        step = make_step(settings, labels, images[0], images[1:])
        value = build(settings)(step)
        value.backward()
        with pytest.raises(Exception, match="_local_scalar_dense"):
            value.item()


def test_too_few_classes_are_refused() -> None:
    needing = 0
    for name in TERMS:
        settings = settings_of(name)
        if settings.min_classes > 1:
            needing += 1
            losses = losses_of({settings.kind: settings.model_dump()})
            with pytest.raises(ValueError, match="needs at least 2 classes, the data set has 1"):
                build_losses(losses, num_classes=1, feature_dim=DIM)
    assert needing > 8


def losses_of(terms: dict[str, Any]) -> LossesSettings:
    needs = any(
        "noisy" in (*settings.views, *settings.image_views)
        for name, term in terms.items()
        for settings in [
            TermSettings.kinds()[term.get("kind", name)].model_validate({"kind": name, **term})
        ]
    )
    noise = {"noise": {"kind": "gaussian", "std": 0.1}} if needs else {}
    return LossesSettings.model_validate(terms | noise)


@pytest.mark.parametrize("name", sorted(TERMS))
def test_it_is_written_and_read_back_as_it_was(name: str) -> None:
    losses = losses_of({name.partition(" ")[0]: TERMS[name]})
    assert LossesSettings.model_validate(losses.model_dump()) == losses


def test_base_losses_replace_each_other() -> None:
    base = [
        kind for kind, term in TermSettings.kinds().items() if issubclass(term, BaseLossSettings)
    ]
    assert len(base) == 18
    with pytest.raises(ValueError, match="cross_entropy and mae replace each other"):
        losses_of({"cross_entropy": {"on": "clean"}, "mae": {"on": "clean"}})
    losses_of({"cross_entropy": {"on": "clean"}, "mae": {"on": "clean", "weight": 0.0}})
    twice = {"cross_entropy": {"on": "clean"}, "more": {"kind": "cross_entropy", "on": "noisy"}}
    assert losses_of(twice).views == {"clean", "noisy"}


def test_head_of_cosines() -> None:
    assert losses_of({"arc_face": {"on": "clean", "scale": 7.0}}).cosine_scale == 7
    assert losses_of({"cross_entropy": {"on": "clean"}}).cosine_scale is None
    with pytest.raises(ValueError, match="discriminative needs a linear head"):
        losses_of({"arc_face": {"on": "clean"}, "discriminative": {}})
    other = {"kind": "arc_face", "on": "clean", "scale": 3.0}
    with pytest.raises(ValueError, match="need the same scale"):
        losses_of({"arc_face": {"on": "clean", "scale": 7.0}, "other": other})


def test_copies_are_as_many_as_a_term_needs() -> None:
    noisy = {"cross_entropy": {"on": "noisy"}}
    assert losses_of(noisy).num_copies == 1
    assert losses_of(noisy | {"consistency": {"copies": 4}}).num_copies == 4
    assert losses_of(noisy | {"consistency": {"copies": 4, "weight": 0.0}}).num_copies == 1


def test_activations_are_0_before_their_start() -> None:
    late = TermSettings.kinds()["gini"].model_validate({"kind": "gini", "start": 0.6})
    assert build(late)(random_step(late)).item() == 0
    assert build(settings_of("gini"))(random_step(late)).item() > 0


def all_losses(**weights: float) -> LossesSettings:
    terms = {"cross_entropy": {"on": "both"}, "discriminative": {}, "stability": {}}
    weighted = {name: {**term, "weight": weights.get(name, 1)} for name, term in terms.items()}
    return LossesSettings.model_validate({**weighted, "noise": {"kind": "gaussian", "std": 0.1}})


def build_all(**weights: float) -> WeightedLosses:
    return build_losses(all_losses(**weights), num_classes=CLASSES, feature_dim=DIM)


def test_total_is_the_weighted_sum_of_the_named_values() -> None:
    weights = {"cross_entropy": 0.5, "discriminative": 2.0, "stability": 3.0}
    total, values = build_all(**weights)(random_step(settings_of("stability")))
    assert list(values) == list(weights)
    assert not any(value.requires_grad for value in values.values())
    expected = sum(weights[name] * value.item() for name, value in values.items())
    assert total.item() == pytest.approx(expected, rel=1e-6)


def test_term_with_weight_0_is_left_out() -> None:
    losses = build_all(discriminative=0.0, cross_entropy=0.0)
    _, values = losses(random_step(settings_of("stability")))
    assert losses.names == list(values) == ["stability"]
    assert not losses.state_dict()


@pytest.mark.parametrize(
    ("on", "views"),
    [("clean", {"clean"}), ("noisy", {"noisy"}), ("both", {"clean", "noisy"})],
)
def test_views_of_active_terms_are_needed(on: str, views: set[str]) -> None:
    noise = {"kind": "gaussian", "std": 0.1}
    terms = {"cross_entropy": {"on": on}, "stability": {"weight": 0.0}, "noise": noise}
    assert LossesSettings.model_validate(terms).views == views


def test_all_weights_0_is_refused() -> None:
    with pytest.raises(ValueError, match="every weight is 0"):
        all_losses(cross_entropy=0.0, discriminative=0.0, stability=0.0)
    with pytest.raises(ValueError, match="every weight is 0"):
        WeightedLosses({"stability": LossTerm()}, {"stability": 0.0})


def test_stability_of_unlike_shapes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got \(3, 2\) and \(2, 2\)"):
        stability_loss(torch.zeros(3, 2), torch.zeros(2, 2))


def test_stability_of_equal_views_has_a_zero_gradient() -> None:
    features = torch.ones(3, 2, requires_grad=True)
    value = stability_loss(features, features.detach().clone())
    assert value.item() == 0
    assert not torch.autograd.grad(value, features)[0].any()
