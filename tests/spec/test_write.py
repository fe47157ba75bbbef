from __future__ import annotations

import random
from typing import Any

import pytest
import yaml

from tests.spec.make_spec import FIXED_FILE, SEARCH_FILE, changed, spec_of
from tunebox.spec.load import spec_from_source
from tunebox.spec.sample import sample_values
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Values
from tunebox.spec.write import search_yaml, trial_yaml
from tunebox.spec.yaml_source import parse_yaml

OBJECTIVES = """\
objectives:
  noisy_accuracy: {direction: maximize, reference: 0.25}
  parameters: {direction: minimize, reference: 1e4}
"""


def loaded(text: str) -> SearchSpec:
    return spec_of(text, "written.yaml")


def drawn(spec: SearchSpec, count: int = 60) -> list[Values]:
    generator = random.Random(5)
    return [sample_values(spec.space, generator) for _ in range(count)]


@pytest.mark.parametrize("text", [SEARCH_FILE, SEARCH_FILE + OBJECTIVES, FIXED_FILE])
def test_search_is_read_back_as_it_was(text: str) -> None:
    spec = spec_of(text)
    again = loaded(search_yaml(spec))
    assert again.space.leaves == spec.space.leaves
    assert again.question == spec.question
    assert again.objectives == spec.objectives
    assert list(again.objectives) == list(spec.objectives)
    assert again.search == spec.search
    for values in drawn(spec):
        assert again.trial_config(values) == spec.trial_config(values)


def test_written_twice_is_written_alike() -> None:
    once = search_yaml(loaded(search_yaml(spec_of())))
    assert search_yaml(loaded(once)) == once


def test_every_setting_of_the_search_is_written_out() -> None:
    spec = spec_from_source(parse_yaml(FIXED_FILE, "made.yaml"), {"trials": 5, "name": "a"})
    written = yaml.safe_load(search_yaml(spec))
    assert written["search"] == spec.search.model_dump()
    assert set(written["objectives"]) == {"clean_accuracy", "noisy_accuracy"}


@pytest.mark.parametrize("name", ["12e4", "1e-3", "1.5", "007", "0x1F", "true", "null", "on", "~1"])
def test_word_that_looks_like_a_number_stays_a_word(name: str) -> None:
    branch = changed("clean_only:", f"'{name}':")
    spec = spec_of(branch)
    again = loaded(search_yaml(spec))
    assert again.space.leaves == spec.space.leaves
    for values in drawn(spec, 10):
        assert loaded(trial_yaml(spec, values, "")).trial_config({}).losses == (
            spec.trial_config(values).losses
        )


def test_name_of_a_search_that_looks_like_a_number_stays_a_name() -> None:
    spec = spec_from_source(parse_yaml(SEARCH_FILE, "made.yaml"), {"name": "12e4"})
    assert loaded(search_yaml(spec)).search.name == "12e4"


def test_aliases_are_written_as_what_they_stand_for() -> None:
    text = changed("std: {uniform: [0.1, 1.2]}", "std: &std {uniform: [0.1, 1.2]}")
    spec = spec_of(changed("std: 0.3}", "std: *std}", text))
    assert [leaf.path for leaf in spec.space.leaves if leaf.path.endswith("/std")] == [
        "losses/noisy/noise/gaussian/std",
        "losses/ours/noise/std",
    ]
    assert loaded(search_yaml(spec)).space.leaves == spec.space.leaves
    for values in drawn(spec, 10):
        assert loaded(trial_yaml(spec, values, "")).space.leaves == ()


def test_trial_is_fixed_and_resolves_to_the_same_settings() -> None:
    spec = spec_of()
    for values in drawn(spec):
        config = spec.trial_config(values)
        again = loaded(trial_yaml(spec, values, "Trial 0001"))
        assert again.space.leaves == ()
        assert again.question == "Trial 0001"
        seed = spec.search.seed if config.training.seed is None else config.training.seed
        training = config.training.model_copy(update={"seed": seed})
        assert again.trial_config({}) == config.model_copy(update={"training": training})


def test_trial_keeps_the_paths_of_the_search() -> None:
    spec = spec_of()
    for values in drawn(spec):
        again = loaded(trial_yaml(spec, values, ""))
        paths = set(again.space.resolve({})[1].values())
        lines = again.source.lines
        assert lines is not None
        for path in values:
            is_branching = any(other.startswith(f"{path}/") for other in values)
            assert path in paths or is_branching or f"{path}/{values[path]}" in paths
            assert path in lines or f"{path}/{values[path]}" in lines
        assert set(spec.space.resolve(values)[1].values()) <= paths


def test_trial_carries_the_numbers_to_the_last_bit() -> None:
    spec = spec_of()
    for values in drawn(spec):
        again = loaded(trial_yaml(spec, values, "")).trial_config({})
        assert again.optimizer.model_dump()["lr"] == values["optimizer/lr"]


@pytest.mark.parametrize(
    ("training", "seed"),
    [
        ("training: {seed: 5}", 5),
        ("training: {batch_size: 32}", 3),
        ("training: {choice: {small: {batch_size: 32}, large: {batch_size: 64}}}", 3),
        ("training: {choice: {small: {batch_size: 32, seed: 9}}}", 9),
        ("training: {choice: {a: {choice: {b: {batch_size: 32}}}}}", 3),
        ("training: {choice: {plain: {}, large: {batch_size: 128}}}", 3),
        ("", 3),
    ],
)
def test_seed_is_written_where_the_training_is(training: str, seed: int) -> None:
    spec = spec_of(changed("training: {seed: {choice: [null, 7]}}", training))
    for values in drawn(spec, 8):
        again = loaded(trial_yaml(spec, values, ""))
        config = spec.trial_config(values).training
        assert again.trial_config({}).training == config.model_copy(update={"seed": seed})


def test_options_that_say_where_things_run_stay_behind() -> None:
    options = {"out": "elsewhere", "name": "a", "address": "ray://x", "gpus_per_trial": 0.5}
    spec = spec_from_source(parse_yaml(SEARCH_FILE, "made.yaml"), options)
    written: dict[str, Any] = yaml.safe_load(trial_yaml(spec, drawn(spec)[0], ""))
    assert written["search"] == {"max_epochs": 9, "cpus_per_trial": 1, "gpus_per_trial": 0.5}


def test_text_beyond_ascii_is_readable() -> None:
    spec = spec_of(changed("# Which method is best?", "# Größer als δ?"))
    assert search_yaml(spec).startswith("# Größer als δ?\n")
    assert loaded(search_yaml(spec)).question == "Größer als δ?"


def test_a_trial_has_its_seed_unless_the_file_has_one_for_all() -> None:
    def seed_of(text: str, seed: int | None) -> int | None:
        return loaded(trial_yaml(spec_of(text), {}, "", seed)).trial_config({}).training.seed

    assert seed_of(FIXED_FILE, 7) == 7
    assert seed_of(FIXED_FILE + "search: {seed: 5}\n", None) == 5
    assert seed_of(FIXED_FILE + "training: {seed: 3}\n", 7) == 3
