"""Ray Tune's calls to the scheduler, without Ray's loop."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.engine.make_running import Made, make_running
from tests.engine.make_search import make_decisions, make_spec, metrics_at, new_trial
from tests.engine.ray.ray_trial import RayTrial, ray_trial
from tunebox.decisions.events import Reported, SearchStarted, Started
from tunebox.decisions.method import Verdict
from tunebox.decisions.trials import TrialState
from tunebox.engine.nodes import placement as placement_module
from tunebox.engine.nodes.nodes import Node
from tunebox.engine.nodes.placement import TrialPlacement
from tunebox.engine.nodes.shared_folder import MarkedFolder
from tunebox.engine.ray import scheduler as scheduler_module
from tunebox.engine.ray.executor import TuneCallback
from tunebox.engine.ray.scheduler import TuneScheduler, trial_metrics
from tunebox.pareto.objectives import MissingObjectiveError

MARK = MarkedFolder("/nowhere", "abc")
FINITE = {"clean_accuracy": 0.5, "noisy_accuracy": 0.25}


@pytest.fixture
def made() -> Made:
    return make_running()


@pytest.fixture
def scheduler(made: Made, monkeypatch: pytest.MonkeyPatch) -> TuneScheduler:
    """On a cluster of two nodes that trials fit on, and one that is too small for any trial."""
    nodes = [Node("a", "one", {"CPU": 1.0}), Node("b", "two", {"CPU": 4.0}), Node("c", "head", {})]
    monkeypatch.setattr(placement_module, "alive_nodes", lambda: nodes)
    monkeypatch.setattr(scheduler_module, "alive_nodes", lambda: nodes)
    return TuneScheduler(made.search, TrialPlacement({"CPU": 1.0}, {}), MARK)


def unfit(node_id: str) -> dict[str, Any]:
    return {"unfit": f"node {node_id} is skipped: no data", "node_id": node_id}


def test_a_trial_gets_its_placement(scheduler: TuneScheduler) -> None:
    trial = ray_trial("0000")
    scheduler.on_trial_add(None, trial)
    assert trial.config == {"trial_id": "0000", "mark": MARK}
    assert trial.resources.required_resources == {"CPU": 1.0}


def test_an_unfit_node_is_excluded_and_does_not_count_as_a_failure(
    scheduler: TuneScheduler, made: Made
) -> None:
    asked: list[Any] = []
    trial = ray_trial("0000")
    scheduler.on_trial_add(None, trial)
    assert scheduler.on_trial_result(None, trial, unfit("b")) == "CONTINUE"
    assert trial.max_failures == 1
    assert made.ending.trouble is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            placement_module, "placement_group", lambda *_, **options: asked.append(options)
        )
        trial.resources.to_placement_group()
    assert asked == [{"bundle_label_selector": [{"ray.io/node-id": "!in(b)"}]}]


def test_the_search_ends_when_no_node_is_left(scheduler: TuneScheduler, made: Made) -> None:
    scheduler.on_trial_result(None, RayTrial({}), unfit("a"))
    assert made.ending.trouble is None
    scheduler.on_trial_result(None, RayTrial({}), unfit("b"))
    assert made.ending.trouble == (
        "no node is left that can run trials: node b is skipped: no data"
    )


@pytest.mark.parametrize(
    ("states", "chosen"),
    [
        ("TERMINATED RUNNING RUNNING RUNNING PENDING PENDING", 5),  # one got free, one is empty
        ("RUNNING RUNNING RUNNING RUNNING PENDING PENDING", 4),  # there are five places
        ("RUNNING TERMINATED RUNNING PENDING", 3),
        ("PENDING PENDING", 0),
        ("TERMINATED ERROR RUNNING", None),
    ],
)
def test_while_actors_start_elsewhere_the_newest_trial_takes_one_that_got_free(
    scheduler: TuneScheduler, states: str, chosen: int | None
) -> None:
    trials = [SimpleNamespace(status=status) for status in states.split()]
    controller = SimpleNamespace(get_trials=lambda: trials)
    expected = None if chosen is None else trials[chosen]
    assert scheduler.choose_trial_to_run(controller) is expected


def test_an_epoch_that_was_reported_is_not_judged_again(
    scheduler: TuneScheduler, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial_id, judged = made.start(), list[int]()
    values, report = made.log.planned[trial_id], made.decisions.report

    def note(trial_id: str, epoch: int, metrics: Any) -> Verdict:
        judged.append(epoch)
        return report(trial_id, epoch, metrics)

    for epoch in (1, 2):
        made.search.reported(trial_id, epoch, metrics_at(values, epoch), "node")
    monkeypatch.setattr(made.decisions, "report", note)
    for epoch in (1, 2, 3):
        result = {"epoch": epoch, "metrics": metrics_at(values, epoch)}
        assert scheduler.on_trial_result(None, ray_trial(trial_id), result) == "CONTINUE"
    assert judged == [3]


def test_the_journal_has_the_most_memory_that_a_trial_took(
    scheduler: TuneScheduler, made: Made
) -> None:
    trial_id = made.start()
    values = made.log.planned[trial_id]
    for epoch, memory in enumerate((None, 5, 5, 4, 7), start=1):
        result = {"epoch": epoch, "metrics": metrics_at(values, epoch), "peak_memory": memory}
        scheduler.on_trial_result(None, ray_trial(trial_id), result)
    reported = [event for event in made.events if isinstance(event, Reported)]
    assert [event.memory for event in reported] == [None, 5, None, None, 7]
    assert made.log.memory == 7
    again = make_running(events=[event for event in made.events if not is_start(event)])
    assert again.log.memory == 7


def is_start(event: Any) -> bool:
    return isinstance(event, SearchStarted)


def test_the_scheduler_follows_the_decisions(scheduler: TuneScheduler, made: Made) -> None:
    reference = make_decisions(make_spec())
    for _ in range(15):
        trial_id = made.start()
        values = new_trial(reference, trial_id)
        assert made.log.planned[trial_id] == values
        for epoch in (1, 2, 3):
            metrics = metrics_at(values, epoch)
            result = {"epoch": epoch, **{f"metrics/{key}": v for key, v in metrics.items()}}
            answer = scheduler.on_trial_result(None, ray_trial(trial_id), result)
            goes_on = reference.report(trial_id, epoch, metrics) is Verdict.CONTINUE
            assert answer == ("CONTINUE" if goes_on else "STOP")
            if not goes_on:
                break


def test_a_diverged_trial_and_one_that_failed_are_stopped(
    scheduler: TuneScheduler, made: Made
) -> None:
    trial = ray_trial(made.start())
    failure = {"failed": "KeyError: 'x'", "failed_at": "here", "traceback": None}
    assert scheduler.on_trial_result(None, trial, failure) == "STOP"
    diverged = {"epoch": 1, "metrics": {**FINITE, "train_loss": float("nan")}}
    assert scheduler.on_trial_result(None, trial, diverged) == "STOP"


def test_report_without_an_objective_is_an_error(scheduler: TuneScheduler, made: Made) -> None:
    result = {"epoch": 1, "metrics/clean_accuracy": 0.5}
    with pytest.raises(MissingObjectiveError):
        scheduler.on_trial_result(None, ray_trial(made.start()), result)


def test_an_epoch_whose_checkpoint_failed_is_left_to_the_resume(
    scheduler: TuneScheduler, made: Made
) -> None:
    trial, callback = ray_trial(made.start()), TuneCallback(made.search)

    def report(epoch: int, **more: Any) -> None:
        trial.last_result = {"epoch": epoch, "metrics": FINITE, "hostname": "node", **more}
        assert scheduler.on_trial_result(None, trial, trial.last_result) == "CONTINUE"

    report(1)
    report(2, unwritable="/out: No space left on device", notes=["a line"])
    assert made.ending.trouble == (
        "a checkpoint cannot be written on node: /out: No space left on device"
    )
    assert made.search.notes == ["a line"] == made.noting.notes
    callback.on_trial_complete(0, [], trial)  # it was the last one
    report(3)  # it was not, and the next came before the search ended
    callback.on_trial_complete(0, [], trial)
    of_trial = [type(event) for event in made.events if hasattr(event, "trial_id")]
    assert of_trial[1:] == [Started, Reported]
    record = made.log.trials["0000"]
    assert (record.state, record.epochs) == (TrialState.RUNNING, 1)


@pytest.mark.parametrize(
    "result",
    [
        {"metrics": FINITE, "epoch": 2, "time_total_s": 3.0},
        {"metrics/clean_accuracy": 0.5, "metrics/noisy_accuracy": 0.25, "epoch": 2, "done": False},
        {"metrics": {"clean_accuracy": 0.5, "noisy_accuracy": 0.25}, "config/metrics": 7},
    ],
)
def test_metrics_of_a_result(result: dict[str, Any]) -> None:
    assert trial_metrics(result) == FINITE


def test_metrics_of_a_result_are_numbers_of_python() -> None:
    metrics = trial_metrics({"metrics/parameters": 12, "metrics/train_loss": np.float32(0.5)})
    assert metrics == {"parameters": 12.0, "train_loss": 0.5}
    assert {type(value) for value in metrics.values()} == {float}
    assert trial_metrics({"epoch": 1}) == {}


def test_nothing_is_pickled(scheduler: TuneScheduler) -> None:
    assert scheduler.__getstate__() == {}
