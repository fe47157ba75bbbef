"""The settings of a search as options: they are described once, and all uses follow."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from tunebox.errors import TuneboxError
from tunebox.spec.search_options import (
    REPLAYABLE,
    RESUMABLE,
    SearchOptions,
    check_names,
    search_options,
)
from tunebox.spec.search_settings import SearchSettings


def test_keywords_of_python_are_the_settings_with_their_types() -> None:
    assert get_type_hints(SearchOptions) == {
        name: hint
        for name, hint in get_type_hints(SearchSettings).items()
        if name in SearchSettings.model_fields
    }


def test_every_setting_is_described_by_a_sentence_about_settings_that_exist() -> None:
    options = list(search_options())
    assert [option.name for option in options] == list(SearchSettings.model_fields)
    for option in options:
        assert option.description[0].isupper(), option.name
        assert option.description.endswith("."), option.name
        assert option.default, option.name
        parts = f"{option.description} {option.default}".split("`")
        assert set(parts[1::2]) <= set(SearchSettings.model_fields), option.name


def test_help_has_the_default_and_spells_settings_as_options() -> None:
    helps = {option.name: option.help for option in search_options()}
    assert (
        helps["seed"]
        == "Random seed of the search; the training seeds of the trials are derived from it. "
        "[default: 0]"
    )
    assert helps["min_epochs"].endswith("[default: --max-epochs / 4]")
    assert "none runs one trial at a time in this process, without Ray" in helps["address"]


def test_what_a_resume_and_a_replay_may_change() -> None:
    assert set(RESUMABLE) == {
        *("trials", "epochs", "time_budget", "stop_when", "max_failures", "max_failed_fraction"),
        *("address", "max_concurrent", "cpus_per_trial", "gpus_per_trial"),
        *("repeats", "max_paused"),
    }
    assert set(REPLAYABLE) == {
        "sampler",
        "scheduler",
        "max_paused",
        "min_epochs",
        "reduction_factor",
        "front_rule",
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("trails", "^trails: no option of a search; did you mean trials\\?$"),
        ("max-epochs", "^max-epochs: no option of a search; did you mean max_epochs\\?$"),
        ("console", "^console: no option of a search; the options are trials, epochs, "),
    ],
)
def test_unknown_name_is_answered_with_the_nearest_one(name: str, message: str) -> None:
    check_names(["trials", "max_epochs"])
    with pytest.raises(TuneboxError, match=message):
        check_names(["trials", name])
