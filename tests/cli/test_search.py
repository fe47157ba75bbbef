"""The options of ``tunebox search`` are the settings of a search."""

from __future__ import annotations

import inspect

import pytest
from typer.testing import CliRunner

from tunebox.cli.main import app
from tunebox.cli.search import search
from tunebox.spec.search_options import search_options


def help_of_search() -> str:
    done = CliRunner().invoke(
        app, ["search", "-h"], env={"COLUMNS": "100", "TERMINAL_WIDTH": "100"}
    )
    assert done.exit_code == 0
    return " ".join(done.stdout.split())


def test_help_has_every_setting_that_can_be_typed() -> None:
    text = help_of_search()
    for option in search_options():
        assert (f" {option.spelling} " in text) == option.use.typed
        if option.use.typed:
            assert option.help in text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("sampler", "--sampler tpe|nsga2|gp|qmc|random "),
        ("gpus_per_trial", "--gpus-per-trial FLOAT|auto "),
        ("time_budget", "--time-budget SECONDS "),
        ("warm_start", "--warm-start NAME "),
    ],
)
def test_help_shows_what_a_value_can_be(name: str, shown: str) -> None:
    assert shown in help_of_search(), name


def test_options_come_between_what_is_searched_and_where() -> None:
    names = list(inspect.signature(search).parameters)
    settings = [option.name for option in search_options() if option.use.typed]
    assert names == ["file", "resume", *settings, "tracking_uri", "cluster"]
