"""What every search file that ships promises."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tunebox.losses.settings import BaseLossSettings, LossesSettings, TermSettings
from tunebox.spec.load import load_spec, shipped_files, shipped_folder, spec_from_source
from tunebox.spec.sample import sample_values
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Choice
from tunebox.spec.write import search_yaml, trial_yaml
from tunebox.spec.yaml_source import parse_yaml

FILES = sorted(shipped_folder().rglob("*.y*ml"))
ALONE = {"pgd", "atent", "macer", "smooth_adv", "cat_rs"}  # methods that need no base loss
METHODS = {"clean_only", "noisy_only", "both", "stability", "ours"}


@pytest.fixture(params=FILES, ids=lambda path: path.stem, scope="module")
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture(scope="module")
def spec(path: Path) -> SearchSpec:
    return load_spec(str(path))


def test_there_are_files() -> None:
    assert len(FILES) > 0
    assert shipped_files() == FILES  # none in a folder below, none with another ending


def test_it_is_found_by_its_name(path: Path, spec: SearchSpec) -> None:
    assert load_spec(path.stem).source.text == spec.source.text
    assert spec.stem == path.stem


def test_line_1_asks_a_question(spec: SearchSpec) -> None:
    assert spec.source.text.startswith("# ")
    assert spec.question.endswith("?")


def test_it_searches_something(spec: SearchSpec) -> None:
    assert spec.space.leaves


def test_sampled_trials_are_valid(spec: SearchSpec) -> None:
    generator = random.Random(0)
    for _ in range(200):
        spec.trial_config(sample_values(spec.space, generator))


def test_every_branch_and_option_is_reached(spec: SearchSpec) -> None:
    generator = random.Random(0)
    reached: dict[str, set[object]] = {leaf.path: set() for leaf in spec.space.leaves}
    for _ in range(1500):
        for name, value in sample_values(spec.space, generator).items():
            reached[name].add(value)
    for leaf in spec.space.leaves:
        if isinstance(leaf.distribution, Choice):
            assert reached[leaf.path] == set(leaf.distribution.options), leaf.path


def branches(spec: SearchSpec) -> set[str]:
    """The methods that a file has as branches of the losses."""
    return set(spec.source.data["losses"].get("choice", ()))


def losses_of(spec: SearchSpec, method: str) -> LossesSettings:
    generator = random.Random(0)
    drawn = (sample_values(spec.space, generator) for _ in range(2000))
    return spec.trial_config(next(v for v in drawn if v["losses"] == method)).losses


def test_methods_are_branches_of_the_losses(spec: SearchSpec) -> None:
    found = [leaf for leaf in spec.space.leaves if leaf.path == "losses"]
    assert bool(found) == bool(branches(spec))
    for leaf in found:
        assert isinstance(leaf.distribution, Choice)
        assert set(leaf.distribution.options) == branches(spec)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_method_is_what_its_name_says(spec: SearchSpec, method: str) -> None:
    if branches(spec) != METHODS:
        pytest.skip("a file without the five methods")
    losses = losses_of(spec, method)
    views = {"noisy_only": "noisy", "both": "both"}
    terms = losses.model_dump()
    assert terms["cross_entropy"]["on"] == views.get(method, "clean")
    assert ("stability" in terms) == (method == "stability")
    assert ("discriminative" in terms) == (method == "ours")
    assert (losses.noise is None) == (method == "clean_only")


@pytest.mark.parametrize("name", ["fashion_mnist", "unknown_noise"])
def test_all_methods_with_two_views_may_have_either_batch_norm(name: str) -> None:
    spec = load_spec(name)
    forward = {
        leaf.path.split("/")[1]: leaf.distribution.ends
        for leaf in spec.space.leaves
        if leaf.path.endswith("/forward")
    }
    assert forward == dict.fromkeys(["both", "stability", "ours"], ("joint", "separate"))


def test_gradients_of_the_discriminative_loss_are_clipped(spec: SearchSpec) -> None:
    """Without it, 2 of 10 settings of the shipped ranges trained on 5,000 Fashion-MNIST images."""
    if "discriminative" in spec.source.text:
        assert spec.source.data["training"]["clip_grad_norm"] == 1.0


def test_branches_of_one_term_have_its_name(spec: SearchSpec) -> None:
    for method in branches(spec) - METHODS:
        losses = losses_of(spec, method)
        assert method in losses.terms
        assert losses.terms[method].kind == method
        base = [t for t in losses.terms.values() if isinstance(t, BaseLossSettings)]
        assert len(base) == 1 or method in ALONE


@pytest.mark.parametrize("name", ["digits_methods", "fashion_mnist_methods"])
def test_file_of_all_methods_has_every_term(name: str) -> None:
    spec = load_spec(name)
    names = {name for method in branches(spec) for name in losses_of(spec, method).terms}
    assert names == set(TermSettings.kinds())


def test_label_noise_has_every_loss_against_it() -> None:
    spec = load_spec("label_noise")
    against = {"mae", "gce", "sce", "nce_rce", "agce", "ael", "focal", "phuber", "unhinged"}
    assert against < branches(spec)
    config = spec.trial_config(sample_values(spec.space, random.Random(0)))
    assert config.data.label_noise is not None
    assert config.data.label_noise.rate == 0.4


def test_it_is_written_and_read_back_as_it_was(spec: SearchSpec) -> None:
    again = spec_from_source(parse_yaml(search_yaml(spec), "written.yaml"))
    assert again.space.leaves == spec.space.leaves
    values = sample_values(spec.space, random.Random(1))
    trial = spec_from_source(parse_yaml(trial_yaml(spec, values, "A trial"), "trial.yaml"))
    assert trial.trial_config({}).losses == spec.trial_config(values).losses
