from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tunebox
from tests.foreign_files import make_search
from tests.records.make_log import SEARCH_FILE, make_log, make_spec
from tunebox.decisions.events import Event, Planned, Reported, SearchStarted, Started
from tunebox.decisions.state import SearchState
from tunebox.decisions.trials import Report
from tunebox.errors import RecordsError, SearchFileError
from tunebox.records.journal import JournalWriter
from tunebox.records.lock import locked
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.records.trial_tables import write_tables
from tunebox.spec.load import spec_from_source
from tunebox.spec.write import search_yaml
from tunebox.spec.yaml_source import parse_yaml
from tunebox.verbs.resume import check_num_trials, resumed_spec
from tunebox.verbs.search import _reason_for_no_trial
from tunebox.verbs.sync import sync

VERBS: dict[str, Callable[[SearchFolder], object]] = {
    "resume": lambda folder: tunebox.search(
        resume=True, name=folder.name, out=str(folder.root.parent), address="none"
    ),
    "sync": lambda folder: sync(folder.name, out=folder.root.parent),
}


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    """A search that was killed before its first trial."""
    made = create_folder(tmp_path / "results", "made-1")
    made.search_file.write_text(search_yaml(make_spec()), encoding="utf-8")
    JournalWriter(made.journal, "made-1").on(SearchStarted(1.0, "host", 1))
    return made


def test_it_is_the_search_of_the_folder(folder: SearchFolder) -> None:
    spec, before = resumed_spec(folder, {}), make_spec()
    assert spec.space.leaves == before.space.leaves
    assert spec.objectives == before.objectives
    kept = {"name", "out"}
    assert spec.search.model_dump(exclude=kept) == before.search.model_dump(exclude=kept)
    assert (spec.search.name, spec.search.out) == ("made-1", str(folder.root.parent))


def test_a_journal_that_was_cut_is_not_believed(folder: SearchFolder) -> None:
    write_tables(folder, make_log(20), make_spec().space.leaves)
    tables, journal = folder.trials.read_bytes(), folder.journal.read_bytes()
    out = str(folder.root.parent)
    lacks = r"journal\.jsonl lacks the results of \d+ trials .*: put it back"
    with pytest.raises(RecordsError, match=lacks):
        tunebox.search(resume=True, name="made-1", out=out, address="none")
    with pytest.raises(RecordsError, match=lacks):
        sync("made-1", out=out)
    assert (folder.trials.read_bytes(), folder.journal.read_bytes()) == (tables, journal)


def test_a_journal_of_nothing_but_damage_is_not_believed(tmp_path: Path) -> None:
    folder = SearchFolder(make_search(tmp_path))
    folder.journal.write_bytes(b"[" * 1000)  # its results are in the tables alone
    for verb in VERBS.values():
        with pytest.raises(RecordsError, match="lacks the results of 3 trials"):
            verb(folder)
    assert folder.journal.read_bytes() == b"[" * 1000


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "name",
    [
        *("trials.parquet", "history.parquet", "front.parquet", "confirmed.parquet"),
        *("end.json", "mlflow.json", "report.html", "front.png", "journal.jsonl", "search.yaml"),
    ],
)
def test_a_folder_in_the_place_of_a_file_is_one_line(tmp_path: Path, verb: str, name: str) -> None:
    folder = SearchFolder(make_search(tmp_path))
    path = folder.root / name
    path.unlink(missing_ok=True)
    path.mkdir()
    with pytest.raises(RecordsError, match=re.escape(name)) as caught:
        VERBS[verb](folder)
    assert str(caught.value).isprintable()
    assert list(path.iterdir()) == []


def test_what_may_differ_is_a_setting_and_is_taken(folder: SearchFolder) -> None:
    given = {"trials": 50, "time_budget": 9.5, "max_concurrent": 3, "address": "local"}
    spec = resumed_spec(folder, given)
    assert {name: getattr(spec.search, name) for name in given} == given


@pytest.mark.parametrize(("name", "value"), [("max_epochs", 27), ("seed", 4), ("min_epochs", 1)])
def test_what_changes_trials_or_decisions_is_refused(
    folder: SearchFolder, name: str, value: int
) -> None:
    was = getattr(make_spec().search, name)
    expected = f"{name} {value}: .* keeps its {name}={was}; a resume may change"
    with pytest.raises(SearchFileError, match=expected):
        resumed_spec(folder, {name: value})
    resumed_spec(folder, {name: was})  # says nothing new


def test_a_bad_value_is_refused_as_in_a_new_search(folder: SearchFolder) -> None:
    with pytest.raises(SearchFileError, match=r"^trials: got 0"):
        resumed_spec(folder, {"trials": 0})


def test_a_search_cannot_get_smaller_than_it_is() -> None:
    spec = make_spec()
    check_num_trials(spec, 20)
    with pytest.raises(SearchFileError, match=r"^trials 20: the search has 21 trials already"):
        check_num_trials(spec, 21)


def test_what_cannot_be_resumed_is_one_line(folder: SearchFolder) -> None:
    out = str(folder.root.parent)
    with pytest.raises(SearchFileError, match="needs the name of a search and no file"):
        tunebox.search(resume=True, out=out)
    with pytest.raises(SearchFileError, match="needs the name of a search and no file"):
        tunebox.search("digits", resume=True, name="made-1", out=out)
    with pytest.raises(RecordsError, match="no search 'other'"):
        tunebox.search(resume=True, name="other", out=out)
    with pytest.raises(RecordsError, match=r"no search '\.\./made-1'"):
        tunebox.search(resume=True, name="../made-1", out=str(folder.root))
    with locked(folder.lock), pytest.raises(RecordsError, match="is in use by process"):
        tunebox.search(resume=True, name="made-1", out=out)
    folder.journal.write_text('{"format": 99, "tunebox": "9.0"}\n', encoding="utf-8")
    with pytest.raises(RecordsError, match="update tunebox"):
        tunebox.search(resume=True, name="made-1", out=out)
    folder.journal.unlink()
    with pytest.raises(RecordsError, match="no search can be resumed without its journal"):
        tunebox.search(resume=True, name="made-1", out=out)
    assert not folder.lock.exists()


def test_a_name_in_use_names_the_process(folder: SearchFolder) -> None:
    out = str(folder.root.parent)
    with pytest.raises(RecordsError, match=r"exists already; go on with it \(--resume made-1\)"):
        tunebox.search("digits", name="made-1", out=out)
    with locked(folder.lock), pytest.raises(RecordsError, match="is in use by process"):
        tunebox.search("digits", name="made-1", out=out)


def test_a_resume_whose_budget_is_spent_says_what_to_raise() -> None:
    metrics = {"clean_accuracy": 0.5, "noisy_accuracy": 0.5, "train_loss": 0.5}
    [trial] = make_log(1).trials.values()
    events: list[Event] = [
        Planned("0000", trial.settings),
        Started("0000", 1.0),
        Reported("0000", Report(1, metrics, 2.0), "node"),
    ]

    def reason(**options: Any) -> str | None:
        spec = spec_from_source(parse_yaml(SEARCH_FILE, "made.yaml"), options)
        state = SearchState.of(spec)
        state.replay_events(events)
        return _reason_for_no_trial(state)

    assert reason(epochs=1) == "the budget of 1 epochs is spent"
    assert reason(epochs=2) is None
    assert reason(time_budget=0.001) is None  # it counts from the resume
