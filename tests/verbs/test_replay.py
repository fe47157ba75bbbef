"""The verb: a recording in, a table out, and what a person reads who made a mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.engine.make_recording import made_recording
from tests.engine.make_search import make_spec
from tunebox.cli import main as cli
from tunebox.decisions.decisions import Decisions
from tunebox.decisions.trials import TrialLog
from tunebox.engine.efficiency import measure, row
from tunebox.errors import RecordsError, SearchFileError
from tunebox.records.search_folder import create_folder
from tunebox.records.trial_tables import write_tables
from tunebox.spec.search_settings import SearchSettings
from tunebox.spec.write import search_yaml
from tunebox.verbs.replay import parse_settings, replay


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The folder of all searches, with the recording ``made-1``."""
    return record(tmp_path / "results", "made-1")


def record(out: Path, name: str) -> Path:
    spec = make_spec()
    folder = create_folder(out, name)
    log = TrialLog(spec.objective_set)
    log.trials = {trial.trial_id: trial for trial in made_recording().trials}
    folder.search_file.write_text(search_yaml(spec), encoding="utf-8")
    write_tables(folder, log, spec.space.leaves)
    return out


def test_searches_by_name_and_by_folder_are_the_decisions_replayed(out: Path) -> None:
    given = [{"min_epochs": 3}, {"min_epochs": 9, "front_rule": "epsilon_net"}]
    options: dict[str, Any] = {"settings": given, "workers": 2, "budget": 60, "seeds": 2}
    found = replay("made-1", out=str(out), **options)
    assert found == replay(str(out / "made-1"), **options)
    assert (found.num_recorded, found.max_epochs, found.budget) == (120, 9, 60)
    assert found.best_hypervolume == pytest.approx(made_recording().best_hypervolume)
    assert [search.settings for search in found.searches] == [{}, *given]
    spec = make_spec()
    for search in found.searches:
        for seed, reached in enumerate(search.runs):
            settings = SearchSettings.model_validate(
                {"max_epochs": 9, "seed": seed, **search.settings}
            )
            decisions = Decisions(spec.space, spec.objective_set, settings)
            assert reached == measure(decisions, made_recording(), workers=2, budget=60)
    assert found.searches[0].runs != found.searches[1].runs
    assert found.searches[0].runs[0] != found.searches[0].runs[1]


def test_budget_is_32_full_trainings_unless_given(out: Path) -> None:
    assert replay("made-1", out=str(out), seeds=1).budget == 32 * 9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trials": 5}, "'trials' is no setting of a replay; it has min_epochs, reduction_factor"),
        ({"min_epochs": 10}, "min_epochs must be at most max_epochs, got min_epochs=10 and"),
        ({"min_epochs": "x"}, r"--set min_epochs: got 'x'; Input should be a valid integer"),
        ({"reduction_factor": 1}, "--set reduction_factor: got 1; .* greater than or equal to 2"),
        ({"front_rule": "best"}, "--set front_rule: got 'best'; Input should be 'crowding', "),
    ],
)
def test_setting_that_cannot_be(out: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SearchFileError, match=message):
        replay("made-1", settings=[{}, settings], out=str(out), budget=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("min_epochs=2", {"min_epochs": 2}),
        (" min_epochs = 2 , front_rule=crowding", {"min_epochs": 2, "front_rule": "crowding"}),
        ("min_epochs=null", {"min_epochs": None}),
    ],
)
def test_settings_of_the_command_line(text: str, expected: dict[str, Any]) -> None:
    assert parse_settings(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "min_epochs",
        "=2",
        "min_epochs=",
        "min_epochs=2,",
        "a=[",
    ],
)
def test_text_that_is_no_setting(text: str) -> None:
    with pytest.raises(SearchFileError, match="--set"):
        parse_settings(text)


def test_absent_recording_and_one_whose_trials_were_all_stopped(out: Path) -> None:
    with pytest.raises(RecordsError, match=r"no search 'other' in .*; it has made-1"):
        replay("other", out=str(out))
    spec, log = make_spec(), TrialLog(make_spec().objective_set)
    folder = create_folder(out, "stopped-1")
    folder.search_file.write_text(search_yaml(spec), encoding="utf-8")
    write_tables(folder, log, spec.space.leaves)
    with pytest.raises(RecordsError, match="stopped-1 cannot be replayed: a recording needs"):
        replay("stopped-1", out=str(out))


def test_table_has_a_row_for_each_set(
    out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    options = ["--set", "min_epochs=3,reduction_factor=2", "--budget", "40", "--seeds", "2"]
    monkeypatch.setattr(
        "sys.argv", ["tunebox", "replay", "made-1", "--out", str(out), "--workers", "2", *options]
    )
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    best = made_recording().best_hypervolume
    assert lines[0] == (
        f"120 recorded trials of 9 epochs, best hypervolume {best:.4f}; budget 40 epochs, 2 seeds"
    )
    found = replay(
        "made-1",
        settings=[{"min_epochs": 3, "reduction_factor": 2}],
        workers=2,
        budget=40,
        seeds=2,
        out=str(out),
    )
    for line, name, search in zip(
        lines[2:4], ["defaults", "min_epochs=3, reduction_factor=2"], found.searches, strict=True
    ):
        assert line.split("  ")[0] == name
        assert line.split() == [*name.split(), *" ".join(row(search.runs, 40)).split()]
