"""A search file whose trials have their seed as one setting more, and the options of confirm."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from tests.records.make_log import make_spec
from tunebox.errors import SearchFileError, TuneboxError
from tunebox.spec.confirm_settings import (
    RUN_OPTIONS,
    ConfirmOptions,
    ConfirmSettings,
    confirm_options,
)
from tunebox.spec.load import load_spec, spec_from_source
from tunebox.spec.search_options import check_names
from tunebox.spec.search_settings import SearchSettings
from tunebox.spec.seeded import seed_path, seeded_spec
from tunebox.spec.write import search_yaml
from tunebox.spec.yaml_source import parse_yaml


def test_each_trial_can_be_given_a_seed_and_nothing_else_changes() -> None:
    spec = make_spec()  # its trials have seeds of their own
    again = seeded_spec(spec, num_seeds=100, question="Why?", search={"trials": 3, "name": "x"})
    values = spec.space.draw(lambda leaf: leaf.distribution.ends[0])
    path = seed_path(again.space, values)
    assert path == "training/seed"
    for seed in (0, 99):
        config = again.trial_config({**values, path: seed})
        before = spec.trial_config(values)
        assert config.own_seed == seed
        training = before.training.model_copy(update={"seed": seed})
        assert config == before.model_copy(update={"training": training})
    assert again.search == spec.search.model_copy(update={"trials": 3, "name": "x"})
    assert again.objectives == spec.objectives
    read = spec_from_source(parse_yaml(search_yaml(again), "again.yaml"))
    assert read.space.leaves == again.space.leaves
    assert read.question == "Why?"


def test_a_seed_is_set_in_each_branch_of_training() -> None:
    text = search_yaml(make_spec())
    tree = parse_yaml(text, "x").data
    tree["training"] = {"choice": {"small": {"batch_size": 32}, "large": {"batch_size": 64}}}
    spec = load_spec(tree)
    again = seeded_spec(spec, num_seeds=10, question="", search={})
    values = {**spec.space.draw(lambda leaf: leaf.distribution.ends[0]), "training": "large"}
    path = seed_path(again.space, values)
    assert path == "training/large/seed"
    assert again.trial_config({**values, path: 7}).training.seed == 7
    with pytest.raises(SearchFileError, match="cannot be given a seed"):
        seed_path(spec.space, values)


def test_options_of_confirm_are_its_settings_and_where_trials_run() -> None:
    hints = get_type_hints(ConfirmOptions)
    known = {**get_type_hints(SearchSettings), **get_type_hints(ConfirmSettings)}
    assert set(hints) == {*ConfirmSettings.model_fields, *RUN_OPTIONS}
    assert hints == {name: known[name] for name in hints}
    options = {option.name: option for option in confirm_options()}
    assert set(options) == set(hints)
    assert all(option.description.endswith(".") for option in options.values())
    assert "30 %" in options["budget"].help
    assert all("[default: that of the search]" in options[name].help for name in RUN_OPTIONS)
    check_names(["seeds"], list(options), "a confirmation")
    with pytest.raises(
        TuneboxError, match=r"^seed: no option of a confirmation; did you mean seeds"
    ):
        check_names(["seed"], list(options), "a confirmation")
