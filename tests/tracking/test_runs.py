"""What runs should be and what they lack of it, without MLflow."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.pareto.brute_force import hypervolume
from tests.records.make_log import CLEAN, OBJECTIVES, make_log, make_report, make_spec, make_trial
from tunebox.decisions.trials import Report, TrialLog, TrialRecord, TrialState
from tunebox.pareto.constraints import Constraint, Constraints
from tunebox.pareto.objectives import Objectives
from tunebox.records.search_folder import SearchFolder
from tunebox.tracking.runs import (
    ModelSource,
    RunState,
    SentRun,
    Update,
    difference,
    front_table,
    merged,
    search_point,
    search_points,
    trial_run,
)


def trial_state(trial: TrialRecord, front: dict[str, str | None] | None = None) -> RunState:
    return trial_run(trial, make_log(3), "s", len(trial.history), front or {})


def sent_all(wanted: RunState) -> SentRun:
    sent = SentRun("run")
    for update in difference(wanted, sent):
        sent = sent.having(update)
    return sent


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (TrialState.RUNNING, "RUNNING"),
        (TrialState.FINISHED, "FINISHED"),
        (TrialState.STOPPED, "FINISHED"),
        (TrialState.DIVERGED, "FAILED"),
        (TrialState.FAILED, "FAILED"),
        (TrialState.INTERRUPTED, "KILLED"),
    ],
)
def test_each_state_has_its_status(state: TrialState, status: str) -> None:
    wanted = trial_state(replace(make_trial("a", 0.5, 0.5), state=state))
    assert (wanted.status, wanted.tags["tunebox.state"]) == (status, state.value)


def test_what_was_sent_is_not_lacking() -> None:
    wanted = trial_state(make_trial("a", 0.5, 0.5, epochs=3), {"a": "checkpoints/a/3.pt"})
    parts = difference(wanted, SentRun("run"))
    assert [point.epoch for point in merged(parts).points] == [1, 2, 3]
    assert difference(wanted, sent_all(wanted)) == []


def test_only_what_is_new_is_lacking() -> None:
    trial = make_trial("a", 0.5, 0.5, epochs=3)
    running = replace(trial, state=TrialState.RUNNING, history=trial.history[:2])
    sent = sent_all(trial_state(running, {"a": None}))
    update = merged(difference(trial_state(trial), sent))
    last = trial.history[2]
    charted = {name: value for name, value in last.metrics.items() if name != "train_seconds"}
    assert update == Update(
        points=(replace(last, metrics=charted),),
        tags={"tunebox.state": "finished", "tunebox.pareto": None},
        status=("FINISHED", trial.end_time),
    )


def test_a_file_is_sent_again_once_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "front.html"
    wanted = RunState("s", {}, {}, 0.0, files=(file, tmp_path / "absent.png"), tables={"t": [1]})
    assert merged(difference(wanted, SentRun("run"))).files == ()
    file.write_text("a", encoding="utf-8")
    sent = sent_all(wanted)
    assert difference(wanted, sent) == []
    file.write_text("ab", encoding="utf-8")
    assert merged(difference(wanted, sent)).files == (file,)
    assert merged(difference(replace(wanted, tables={"t": [2]}), sent)).tables == {"t": [2]}


def search_state(points: list[Report]) -> RunState:
    return RunState("s", {}, {}, 0.0, points=points, num_points=len(points), is_search=True)


def test_the_metrics_of_a_search_go_on_behind_those_of_before() -> None:
    """A search that goes on has fewer ended trials than when it was interrupted."""
    sent = SentRun("run", last=Report(8, {"m": 1.0}, 50.0))
    points = [Report(5, {"m": 0.5}, 40.0), Report(5, {"m": 2.0}, 60.0), Report(6, {"m": 3.0}, 61.0)]
    lacking = merged(difference(search_state(points), sent)).points
    assert lacking == (Report(9, {"m": 2.0}, 60.0), Report(10, {"m": 3.0}, 61.0))


def test_the_last_metrics_of_a_search_are_right_whatever_was_sent() -> None:
    sent = SentRun("run", last=Report(8, {"m": 1.0}, 50.0))
    [point] = merged(difference(search_state([Report(5, {"m": 0.5}, 40.0)]), sent)).points
    assert (point.epoch, point.metrics) == (9, {"m": 0.5})
    assert point.time > 50
    assert difference(search_state([Report(5, {"m": 1.0}, 40.0)]), sent) == []


def test_a_run_that_somebody_deleted_lacks_nothing() -> None:
    wanted = trial_state(make_trial("a", 0.5, 0.5))
    assert difference(wanted, SentRun("run", left_out=True)) == []


def test_the_metrics_of_a_search_follow_from_its_trials() -> None:
    log = make_log(40)
    points = search_points(log)
    ended = [t for t in log.trials.values() if t.state.value not in ("running", "interrupted")]
    assert [point.epoch for point in points] == list(range(1, len(ended) + 1))
    for point in points[:: len(points) // 5]:
        by_then = [t for t in ended if t.end_time is not None and t.end_time <= point.time]
        part = TrialLog(OBJECTIVES)
        part.trials = {t.trial_id: t for t in by_then}
        results = [OBJECTIVES.costs(t.last_metrics) for t in by_then if t.can_be_on_front]
        assert point.metrics["front_size"] == len(part.front())
        expected = hypervolume(np.array(results), OBJECTIVES.reference_costs)
        assert point.metrics["hypervolume"] == pytest.approx(expected)
        reports = [r for t in log.trials.values() for r in t.history if r.time <= point.time]
        assert point.metrics["epochs_spent"] == len(reports)
    last = search_point(log, 0.0).metrics
    assert points[-1].metrics["hypervolume"] == pytest.approx(last["hypervolume"])


def test_the_table_of_the_front_has_a_row_for_each_of_its_trials() -> None:
    log = make_log(40)
    table = front_table(log, make_spec())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [row["trial_id"] for row in rows] == [trial.trial_id for trial in log.front()]
    for row, trial in zip(rows, log.front(), strict=True):
        assert row["clean_accuracy"] == trial.last_metrics["clean_accuracy"]
        assert (row["epochs"], row["optimizer/lr"]) == (
            trial.epochs,
            trial.settings["optimizer/lr"],
        )


def test_reports_after_those_that_count_are_left_out() -> None:
    trial = make_trial("a", 0.5, 0.5)
    wanted = trial_run(trial, make_log(3), "s", 0, {})
    trial.history.append(make_report(2, 0.5, 0.5))
    assert merged(difference(wanted, SentRun("run"))).points == ()


def with_model(wanted: RunState, mark: str) -> RunState:
    source = ModelSource(SearchFolder(Path("s")), make_spec(), make_trial("a", 0.5, 0.5), mark)
    return replace(wanted, model=source)


def test_a_model_is_lacking_until_it_was_sent() -> None:
    on_front = trial_state(make_trial("a", 0.5, 0.5), {"a": "3.pt"})
    lacking = difference(with_model(on_front, "3.pt"), SentRun("run"))
    [update] = [one for one in lacking if one.model]
    assert update.changes_model
    sent = sent_all(with_model(on_front, "3.pt"))
    assert difference(with_model(on_front, "3.pt"), sent) == []
    assert difference(on_front, sent) == []  # a search that goes on leaves it alone
    [newer] = difference(with_model(on_front, "6.pt"), sent)
    assert newer.model is not None
    assert newer.model.mark == "6.pt"


def test_a_trial_that_leaves_the_front_loses_its_model() -> None:
    trial = make_trial("a", 0.5, 0.5)
    sent = sent_all(with_model(trial_state(trial, {"a": "3.pt"}), "3.pt"))
    [update] = difference(trial_state(trial), sent)
    assert update.changes_model
    assert update.model is None
    assert update.tags["tunebox.logged_model"] is None
    assert difference(trial_state(trial), sent.having(update)) == []


def test_names_of_runs_carry_the_search() -> None:
    assert trial_state(make_trial("0087", 0.5, 0.5)).name == "s/0087"


def test_metrics_without_a_curve_are_not_sent() -> None:
    """Times and sizes are in the tables; what the search judges by is always sent."""
    trial = make_trial("a", 0.5, 0.5)
    trial.history[-1].metrics.update({"images_per_second": 9.0, "parameters": 70.0})
    log = make_log(3)
    names = {*trial.last_metrics} - {"train_seconds", "images_per_second", "parameters"}
    [point] = merged(difference(trial_run(trial, log, "s", 1, {}), SentRun("run"))).points
    assert set(point.metrics) == names
    log.constraints = Constraints([Constraint("parameters", None, 100.0)])
    [point] = merged(difference(trial_run(trial, log, "s", 1, {}), SentRun("run"))).points
    assert set(point.metrics) == {*names, "parameters"}
    own_loop = TrialLog(Objectives([CLEAN], only_known=True))
    [point] = merged(difference(trial_run(trial, own_loop, "s", 1, {}), SentRun("run"))).points
    assert set(point.metrics) == {*trial.last_metrics} - {"train_seconds"}


def test_a_search_whose_run_has_more_metrics_lacks_nothing() -> None:
    """An earlier version sent more, and MLflow measures the machine."""
    points = [Report(5, {"m": 1.0}, 40.0)]
    sent = SentRun("run", last=Report(8, {"m": 1.0, "trials_ended": 5.0}, 50.0))
    assert difference(search_state(points), sent) == []
