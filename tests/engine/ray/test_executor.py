"""Ray Tune's calls to the searcher and the callback, without Ray's loop."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from tests.engine.make_running import Made, make_running
from tests.engine.make_search import SEARCH_FILE, make_spec
from tests.engine.ray.ray_trial import RayTrial, ray_trial
from tunebox.decisions.events import Ended, Event, Paused, Planned, Reported, Started
from tunebox.decisions.method import Verdict
from tunebox.decisions.trials import Report, TrialState
from tunebox.engine.nodes.placement import TrialPlacement
from tunebox.engine.nodes.shared_folder import MarkedFolder
from tunebox.engine.ray.executor import TuneCallback, TuneSearcher
from tunebox.engine.ray.scheduler import TuneScheduler
from tunebox.spec.load import spec_from_source
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.trial_config import TrialConfig
from tunebox.spec.write import trial_yaml
from tunebox.spec.yaml_source import parse_yaml


@pytest.fixture
def made() -> Made:
    return make_running()


@pytest.fixture
def spec() -> SearchSpec:
    return make_spec()


def make_searcher(made: Made, spec: SearchSpec) -> TuneSearcher:
    return TuneSearcher(made.search, spec, (1, 3, 9), Path("/out"))


@pytest.fixture
def searcher(made: Made, spec: SearchSpec) -> TuneSearcher:
    return make_searcher(made, spec)


@pytest.fixture
def callback(made: Made) -> TuneCallback:
    return TuneCallback(made.search)


def suggested(searcher: TuneSearcher, ray_id: str) -> dict[str, Any]:
    config = searcher.suggest(ray_id)
    assert isinstance(config, dict)
    return config


def test_trials_are_numbered_in_the_order_they_come(searcher: TuneSearcher) -> None:
    names = [suggested(searcher, ray_id)["trial_id"] for ray_id in ("f3a9", "0b1c", "77e2")]
    assert names == ["0000", "0001", "0002"]


def test_config_holds_the_settings_of_the_trial(
    searcher: TuneSearcher, made: Made, spec: SearchSpec
) -> None:
    for number in range(12):
        config = suggested(searcher, f"ray{number}")
        values, task = made.log.planned[config["trial_id"]], config["task"]
        trial = TrialConfig.model_validate(task["trial"])
        assert task["trial_id"] == config["trial_id"]
        assert trial == spec.trial_config(values)
        assert task["seed"] == made.log.seeds[config["trial_id"]]
        assert task["max_epochs"] == spec.search.max_epochs
        assert task["rungs"] == (1, 3, 9)
        assert task["checkpoints"] == f"/out/checkpoints/{config['trial_id']}"
        assert task["reported"] == 0
        fixed = trial_yaml(spec, values, "")
        assert spec_from_source(parse_yaml(fixed, "f.yaml")).trial_config({}).model == trial.model


def test_trials_of_before_go_first_with_what_they_reported(spec: SearchSpec) -> None:
    before = make_running()
    ids = [next_of(before) for _ in range(3)]
    assert ids == ["0000", "0001", "0002"]
    metrics = {"clean_accuracy": 0.5, "noisy_accuracy": 0.25}
    reports = [Reported("0002", Report(epoch, metrics, 0.0), "node") for epoch in (1, 2)]
    end = Ended("0001", TrialState.FAILED, "why", 0.0)
    late: list[Event] = [Started("0001", 0.0), end, Started("0002", 0.0), *reports]
    planned = [e for e in before.events if isinstance(e, Planned)]
    made = make_running(events=[*planned, *late])
    searcher = make_searcher(made, spec)
    configs = [suggested(searcher, f"ray{number}") for number in range(3)]
    assert [config["trial_id"] for config in configs] == ["0002", "0000", "0003"]
    assert [config["task"]["reported"] for config in configs] == [2, 0, 0]
    assert [made.log.planned[i] for i in ids] == [before.log.planned[i] for i in ids]
    assert [e.trial_id for e in made.events if isinstance(e, Planned)] == ["0003"]


def next_of(made: Made) -> str:
    start = made.search.next_trial()
    assert start is not None
    return start.trial_id


def test_no_more_than_max_concurrent_trials_are_active() -> None:
    spec = spec_from_source(make_spec().source, {"max_concurrent": 2})
    searcher = make_searcher(make_running(spec), spec)
    assert suggested(searcher, "a")["trial_id"] == "0000"
    assert suggested(searcher, "b")["trial_id"] == "0001"
    assert searcher.suggest("c") is None
    assert searcher.suggest("c") is None
    searcher.on_trial_complete("a", result={"epoch": 3})
    assert suggested(searcher, "c")["trial_id"] == "0002"  # no number was wasted
    searcher.on_trial_complete("b", error=True)
    assert suggested(searcher, "d")["trial_id"] == "0003"


def test_the_searcher_is_finished_once_no_trial_is_active() -> None:
    spec = spec_from_source(parse_yaml(SEARCH_FILE, "made.yaml"), {"trials": 2})
    searcher = make_searcher(make_running(spec), spec)
    for ray_id in ("a", "b"):
        suggested(searcher, ray_id)
    assert searcher.suggest("c") is None  # a report of the others may promote a paused one
    for ray_id in ("a", "b"):
        searcher.on_trial_complete(ray_id)
    assert searcher.suggest("c") == Searcher.FINISHED


@pytest.mark.parametrize(("status", "waits"), [("PENDING", True), ("RUNNING", False)])
def test_a_trial_that_ray_gives_up_before_it_ran_waits_again(
    made: Made, spec: SearchSpec, status: str, waits: bool
) -> None:
    searcher, callback = make_searcher(made, spec), TuneCallback(made.search)
    placement, mark = TrialPlacement({"CPU": 1.0}, {}), MarkedFolder("/nowhere", "abc")
    scheduler = TuneScheduler(made.search, placement, mark)
    suggested(searcher, "a")
    trial = RayTrial(suggested(searcher, "b"), status=status)
    scheduler.on_trial_error(None, trial)
    searcher.on_trial_complete("b", error=True)
    callback.on_trial_error(0, [], trial)
    assert made.search.is_waiting("0001") == waits
    assert made.decisions.ended == ([] if waits else [("0001", True)])
    again = suggested(make_searcher(made, spec), "c")
    assert again["trial_id"] == ("0001" if waits else "0002")


def test_nothing_is_pickled_or_saved(
    searcher: TuneSearcher, callback: TuneCallback, tmp_path: Path
) -> None:
    assert searcher.__getstate__() == {}
    assert callback.__getstate__() == {}
    pickle.dumps(searcher)
    searcher.save(str(tmp_path / "state"))
    assert list(tmp_path.iterdir()) == []


def test_a_trial_ends_as_its_last_command_says(
    made: Made, callback: TuneCallback, monkeypatch: pytest.MonkeyPatch
) -> None:
    going_on, stopped, paused = (next_of(made) for _ in range(3))
    for trial_id in (going_on, stopped, paused):
        callback.on_trial_start(0, [], ray_trial(trial_id))
    made.report(going_on, 1, 0.9)
    made.report(stopped, 1, 0.1)
    monkeypatch.setattr(made.decisions, "report", lambda *_: Verdict.PAUSE)
    made.report(paused, 1, 0.5)
    for trial_id in (going_on, stopped, paused):
        callback.on_trial_complete(0, [], ray_trial(trial_id, last_result={"epoch": 1}))
    last = {getattr(event, "trial_id", ""): type(event) for event in made.events[1:]}
    assert last == {going_on: Reported, stopped: Ended, paused: Paused}
    states = [made.log.trials[i].state for i in (going_on, stopped, paused)]
    assert states == [TrialState.RUNNING, TrialState.STOPPED, TrialState.PAUSED]


def test_a_trial_that_raised_has_failed(made: Made, callback: TuneCallback) -> None:
    failure = {"failed": "KeyError: 'x'", "failed_at": "here", "traceback": "Traceback .."}
    for _ in range(3):
        trial = ray_trial(next_of(made), last_result=failure)
        callback.on_trial_start(0, [], trial)
        callback.on_trial_complete(0, [], trial)
    record = made.log.trials["0000"]
    assert (record.state, record.reason) == (TrialState.FAILED, "KeyError: 'x'")
    assert made.ending.trouble is not None
    assert made.ending.traceback == "Traceback .."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "Failure # 1 (occurred at noon)\nolder\nFailure # 2 (occurred at one)\n"
            "The actor died unexpectedly before finishing this task.\n\tclass_name: X\n",
            "its worker process died: The actor died unexpectedly before finishing this task. "
            "class_name: X",
        ),
        (
            "Failure # 1 (occurred at noon)\nray::step()\nRuntimeError: can't allocate memory\n",
            "RuntimeError: can't allocate memory",
        ),
    ],
)
def test_a_lost_trial_says_why(
    made: Made, callback: TuneCallback, tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / "error.txt").write_text(text, encoding="utf-8")
    trial = ray_trial(next_of(made), error_file=str(tmp_path / "error.txt"))
    callback.on_trial_start(0, [], trial)
    callback.on_trial_recover(0, [], trial)
    assert made.search.notes == [f"trial 0000 starts again: {reason}"] == made.noting.notes
    assert made.log.trials["0000"].state is TrialState.RUNNING
    callback.on_trial_error(0, [], trial)
    record = made.log.trials["0000"]
    assert (record.state, record.reason) == (TrialState.FAILED, reason)


def test_workers_that_die_alike_stop_the_search_whatever_their_numbers(
    made: Made, callback: TuneCallback, tmp_path: Path
) -> None:
    for number in range(3):
        path = tmp_path / f"error-{number}.txt"
        path.write_text(
            f"Failure # {number} (occurred at noon)\nThe actor died because its node was lost.\n"
            f"\tactor_id: {number}3fa0{number:012x}\n\tpid: 17{number}\n\tip: 10.0.0.{number}\n",
            encoding="utf-8",
        )
        assert made.ending.trouble is None
        callback.on_trial_error(0, [], ray_trial(next_of(made), error_file=str(path)))
    assert made.ending.trouble is not None
    assert "the first 3 trials failed in the same way" in made.ending.trouble
    assert "pid: 172" in made.ending.trouble  # the last one, as it is


@pytest.mark.parametrize("text", [None, "", "nothing that Ray writes"])
def test_a_trial_that_failed_without_a_message_is_failed(
    made: Made, callback: TuneCallback, tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "error.txt"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    for file in (str(path), None):
        trial = ray_trial(next_of(made), error_file=file)
        callback.on_trial_start(0, [], trial)
        callback.on_trial_recover(0, [], trial)
        callback.on_trial_error(0, [], trial)
    assert {trial.state for trial in made.log.trials.values()} == {TrialState.FAILED}
    reasons = [trial.reason for trial in made.log.trials.values()]
    assert reasons == [text or "Ray gave no reason", "Ray gave no reason"]
