"""Metrics with settings as objectives of a search file."""

from __future__ import annotations

import pytest

from tests.spec.make_spec import FIXED_FILE
from tunebox.errors import SearchFileError
from tunebox.metrics.certified import CertifiedSettings
from tunebox.spec.load import spec_from_source
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.write import trial_yaml
from tunebox.spec.yaml_source import parse_yaml


def spec_with(metrics: str, objectives: str = "clean_accuracy: {reference: 0.0}") -> SearchSpec:
    text = FIXED_FILE.replace("std: 0.8}", f"std: 0.8}}, metrics: [{metrics}]")
    text += f"objectives: {{{objectives}}}\n"
    return spec_from_source(parse_yaml(text, "a.yaml"))


def test_a_kind_is_an_objective_and_survives_the_trial_file() -> None:
    metrics = "clean_accuracy, {kind: certified, std: 0.5, images: 20}"
    spec = spec_with(metrics, "certified_radius: {reference: 0.0}, clean_accuracy: {reference: 0}")
    radius, _ = spec.objectives
    assert spec.objectives[radius].direction == "maximize"
    written = trial_yaml(spec, {}, "A trial")
    again = spec_from_source(parse_yaml(written, "trial.yaml")).trial_config({})
    [part] = again.evaluation.of_model
    assert part == CertifiedSettings(kind="certified", std=0.5, images=20)


def test_a_kind_may_stand_without_settings() -> None:
    config = spec_with("clean_accuracy, curvature").trial_config({})
    assert [part.kind for part in config.evaluation.of_model] == ["curvature"]
    assert list(config.evaluation.computed) == ["clean_accuracy", "curvature"]


@pytest.mark.parametrize(
    ("metrics", "objectives", "message"),
    [
        ("clean_accuracy", "pgd_accuracy: {reference: 0}", "add it to evaluation/metrics"),
        (
            "clean_accuracy",
            "clean_accuracy: {reference: 90}",
            "objectives/clean_accuracy: 'clean_accuracy' is a share from 0 to 1, never better than "
            "the reference 90: write 0.9 for 90 %",
        ),
        ("clean_accuracy", "clean_accuracy: {reference: 1}", "never better than the reference 1"),
        ("clean_accuracy, pgdd", "clean_accuracy: {reference: 0}", "no metric 'pgdd'"),
        (
            "clean_accuracy, {kind: pgdd}",
            "clean_accuracy: {reference: 0}",
            "did you mean pgd?",
        ),
        (
            "pgd, {kind: pgd, epsilon: 0.5}, clean_accuracy",
            "clean_accuracy: {reference: 0}",
            "'pgd_accuracy' is there twice; give yours another name",
        ),
        (
            "{kind: pgd, epsilon: -1}, clean_accuracy",
            "clean_accuracy: {reference: 0}",
            "evaluation/metrics/epsilon: got -1; input should be greater than 0",
        ),
        (
            "{kind: pgd, cadence: rung}, clean_accuracy",
            "pgd_accuracy: {reference: 0}",
            "not reported after every epoch",
        ),
        (
            "curvature, clean_accuracy",
            "curvature: {direction: maximize, reference: 0}",
            "the direction of 'curvature' is minimize",
        ),
    ],
)
def test_mistakes_have_a_line(metrics: str, objectives: str, message: str) -> None:
    with pytest.raises(SearchFileError) as raised:
        spec_with(metrics, objectives)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
