from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tunebox.spec.load import find_source

kept_results = pytest.importorskip("benchmarks.kept_results", exc_type=ImportError)
paper_methods = pytest.importorskip("benchmarks.paper_methods", exc_type=ImportError)

SETUP = paper_methods.Setup(
    data="digits",
    full=False,
    train_images=100,
    width=2,
    epochs=1,
    num_settings=2,
    num_seeds=2,
    test_images=40,
    curvature_images=8,
)


@pytest.mark.parametrize("regime", list(paper_methods.SPACES))
@pytest.mark.parametrize("method", paper_methods.METHODS)
def test_the_ranges_of_a_method_are_those_of_the_shipped_file(regime: str, method: str) -> None:
    spec = paper_methods.method_spec(SETUP, regime, method)
    shipped = find_source(paper_methods.SPACES[regime]).data
    written = shipped["losses"]["choice"][method]
    assert spec.source.data["losses"] == {"choice": {method: written}}
    assert spec.source.data["optimizer"] == shipped["optimizer"]
    for number in range(3):
        values = paper_methods.drawn_settings(spec, number)
        assert values == paper_methods.drawn_settings(spec, number)
        config = spec.trial_config(values)
        assert config.training.clip_grad_norm == 1.0
        noise = config.losses.noise
        assert (noise is None) == (method == "clean_only")
        if noise is not None:
            assert (noise.std == 0.06) == (regime == "fixed")


def test_all_images_are_trained_with_the_network_of_the_paper() -> None:
    full = replace(SETUP, full=True, train_images=None, data="svhn")
    config = paper_methods.method_spec(full, "tuned", "ours").first_trial()
    assert (config.model.kind, config.data.train_images) == ("resnet18", None)
    assert not config.augmentation.flip


@pytest.mark.slow
def test_the_best_setting_on_validation_images_goes_to_the_test_part(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    results = kept_results.KeptResults(path, asdict(SETUP))
    for number, score in enumerate([0.2, 0.4]):
        results.get(f"tune/fixed/ours/{number}", lambda: {"score": score})  # noqa: B023
    finals = paper_methods.run(SETUP, "fixed", "ours", results)
    spec = paper_methods.method_spec(SETUP, "fixed", "ours")
    assert [final["settings"] for final in finals] == 2 * [paper_methods.drawn_settings(spec, 1)]
    assert all(0 <= accuracy <= 1 for _, _, accuracy in finals[0]["accuracies"])
    assert finals[0]["accuracies"] != finals[1]["accuracies"]  # other seeds
    num_lines = len(path.read_text().splitlines())
    kept = kept_results.KeptResults(path, asdict(SETUP))
    assert paper_methods.run(SETUP, "fixed", "ours", kept) == finals
    assert len(path.read_text().splitlines()) == num_lines


@pytest.mark.slow
def test_without_noise_both_regimes_are_one(tmp_path: Path) -> None:
    results = kept_results.KeptResults(tmp_path / "results.jsonl", asdict(SETUP))
    fixed, tuned = (paper_methods.run(SETUP, r, "clean_only", results) for r in ("fixed", "tuned"))
    assert fixed == tuned
    tried = results.get("tune/clean_only/0", dict)
    assert tried["score"] == tried["clean_accuracy"] * tried["noisy_accuracy"]
