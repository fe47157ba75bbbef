"""Ray's calls to the searcher and the scheduler, without Ray's loop."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.search.make_search import make_decisions, make_spec, metrics_at
from tunebox.pareto.objectives import MissingObjectiveError
from tunebox.search.decisions import Decisions
from tunebox.search.past import Past
from tunebox.search.ray_adapters import DecisionScheduler, DecisionSearcher, trial_metrics
from tunebox.spec.load import spec_from_source
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Values
from tunebox.spec.trial_config import TrialConfig
from tunebox.spec.write import trial_yaml
from tunebox.spec.yaml_source import parse_yaml
from tunebox.trials import Report, SearchObserver, TrialLog, TrialRecord

FINITE = {"clean_accuracy": 0.5, "noisy_accuracy": 0.25}


@dataclass
class RayTrial:
    """What the scheduler looks at of Ray's own class."""

    config: dict[str, Any]
    status: str = "RUNNING"


class Recorded(Decisions):
    """Decisions that keep what they were told of ended trials."""

    def __init__(self, spec: SearchSpec) -> None:
        super().__init__(spec.space, spec.objective_set, spec.search)
        self.ended: list[tuple[str, bool]] = []

    def end(self, trial_id: str, failed: bool) -> None:
        self.ended.append((trial_id, failed))
        super().end(trial_id, failed)


@pytest.fixture
def spec() -> SearchSpec:
    return make_spec()


@pytest.fixture
def decisions(spec: SearchSpec) -> Recorded:
    return Recorded(spec)


class Heard(SearchObserver):
    """Keeps what it is told of planned trials."""

    def __init__(self) -> None:
        self.planned: list[tuple[str, Values]] = []

    def trial_planned(self, trial_id: str, settings: Values) -> None:
        self.planned.append((trial_id, settings))


def new_search(spec: SearchSpec, decisions: Decisions | None = None) -> Past:
    return Past(TrialLog(spec.objective_set), decisions or make_decisions(spec))


def make_searcher(past: Past, spec: SearchSpec, heard: Heard | None = None) -> DecisionSearcher:
    return DecisionSearcher(past, spec, Path("/out/checkpoints"), heard or Heard())


@pytest.fixture
def searcher(decisions: Recorded, spec: SearchSpec) -> DecisionSearcher:
    return make_searcher(new_search(spec, decisions), spec)


def suggested(searcher: DecisionSearcher, ray_id: str) -> dict[str, Any]:
    config = searcher.suggest(ray_id)
    assert config is not None
    return config


def test_trials_are_numbered_in_the_order_they_come(searcher: DecisionSearcher) -> None:
    names = [suggested(searcher, ray_id)["trial_id"] for ray_id in ("f3a9", "0b1c", "77e2")]
    assert names == ["0000", "0001", "0002"]


def test_config_holds_the_settings_of_the_trial(
    searcher: DecisionSearcher, spec: SearchSpec
) -> None:
    for number in range(12):
        config = suggested(searcher, f"ray{number}")
        trial = TrialConfig.model_validate(config["trial"])
        assert trial == spec.trial_config(config["values"])
        assert (config["seed"], config["max_epochs"]) == (spec.search.seed, spec.search.max_epochs)
        assert config["rungs"] == (1, 3, 9)
        assert config["checkpoints"] == f"/out/checkpoints/{config['trial_id']}"
        assert config["reported"] == 0
        fixed = trial_yaml(spec, config["values"], "")
        assert spec_from_source(parse_yaml(fixed, "f.yaml")).trial_config({}).model == trial.model


def test_a_new_trial_is_told_of_at_once(spec: SearchSpec) -> None:
    heard = Heard()
    searcher = make_searcher(new_search(spec), spec, heard)
    configs = [suggested(searcher, f"ray{number}") for number in range(3)]
    assert heard.planned == [(config["trial_id"], config["values"]) for config in configs]


def test_trials_of_before_go_first_with_what_they_reported(spec: SearchSpec) -> None:
    heard, past = Heard(), new_search(spec)
    for trial_id in ("0000", "0001", "0002"):
        past.waiting[trial_id] = past.decisions.suggest(trial_id)
    before = dict(past.waiting)
    del past.waiting["0001"]
    past.num_planned = 3
    record = TrialRecord("0002", before["0002"], 0.0)
    record.history = [Report(epoch, FINITE, 0.0) for epoch in (1, 2)]
    past.log.trials["0002"] = record
    searcher = make_searcher(past, spec, heard)
    configs = [suggested(searcher, f"ray{number}") for number in range(3)]
    assert [config["trial_id"] for config in configs] == ["0000", "0002", "0003"]
    assert [config["reported"] for config in configs] == [0, 2, 0]
    assert [config["values"] for config in configs[:2]] == [before["0000"], before["0002"]]
    assert [trial_id for trial_id, _ in heard.planned] == ["0003"]


def test_an_epoch_that_was_reported_is_not_judged_again(spec: SearchSpec) -> None:
    past = new_search(spec)
    values = past.decisions.suggest("a")
    record = TrialRecord("a", values, 0.0)
    record.history = [Report(epoch, metrics_at(values, epoch), 0.0) for epoch in (1, 2)]
    past.log.trials["a"] = record
    judged: list[int] = []
    report = past.decisions.report

    def note(trial_id: str, epoch: int, metrics: Mapping[str, float]) -> bool:
        judged.append(epoch)
        return report(trial_id, epoch, metrics)

    past.decisions.report = note  # type: ignore[method-assign]
    scheduler = DecisionScheduler(past)
    for epoch in (1, 2, 3):
        result = {"epoch": epoch, "metrics": metrics_at(values, epoch)}
        said = scheduler.on_trial_result(None, RayTrial({"trial_id": "a"}), result)
        assert said == "CONTINUE"
    assert judged == [3]


def test_no_more_than_max_concurrent_trials_are_active() -> None:
    source = make_spec().source
    spec = spec_from_source(source, {"max_concurrent": 2})
    searcher = make_searcher(new_search(spec), spec)
    assert suggested(searcher, "a")["trial_id"] == "0000"
    assert suggested(searcher, "b")["trial_id"] == "0001"
    assert searcher.suggest("c") is None
    assert searcher.suggest("c") is None
    searcher.on_trial_complete("a", result={"metrics": FINITE})
    assert suggested(searcher, "c")["trial_id"] == "0002"  # no number was wasted
    searcher.on_trial_complete("b", error=True)
    assert suggested(searcher, "d")["trial_id"] == "0003"


@pytest.mark.parametrize(
    ("result", "error", "failed"),
    [
        ({"metrics": FINITE, "epoch": 3}, False, False),
        ({"metrics/clean_accuracy": 0.5, "metrics/noisy_accuracy": 0.5, "epoch": 3}, False, False),
        ({"metrics": {**FINITE, "train_loss": float("nan")}, "epoch": 3}, False, True),
        ({"metrics/clean_accuracy": float("inf"), "epoch": 3}, False, True),
        (None, True, True),
        (None, False, False),  # stopped before its first report
    ],
)
def test_end_of_a_trial(
    searcher: DecisionSearcher,
    decisions: Recorded,
    result: dict[str, Any] | None,
    error: bool,
    failed: bool,
) -> None:
    suggested(searcher, "other")
    suggested(searcher, "a")
    searcher.on_trial_complete("a", result=result, error=error)
    assert decisions.ended == [("0001", failed)]


@pytest.mark.parametrize(("status", "waits"), [("PENDING", True), ("RUNNING", False)])
def test_a_trial_that_ray_gives_up_before_it_ran_waits_again(
    spec: SearchSpec, status: str, waits: bool
) -> None:
    decisions = Recorded(spec)
    past = new_search(spec, decisions)
    searcher, scheduler = make_searcher(past, spec), DecisionScheduler(past)
    suggested(searcher, "a")
    config = suggested(searcher, "b")
    trial = RayTrial(config, status=status)
    scheduler.on_trial_error(None, trial)
    searcher.on_trial_complete("b", error=True)
    assert past.waiting == ({"0001": config["values"]} if waits else {})
    assert decisions.ended == ([] if waits else [("0001", True)])
    again = suggested(make_searcher(past, spec), "c")
    assert again["trial_id"] == ("0001" if waits else "0002")


def test_scheduler_says_what_the_decisions_say(spec: SearchSpec) -> None:
    decisions, reference = make_decisions(spec), make_decisions(spec)
    scheduler = DecisionScheduler(new_search(spec, decisions))
    for number in range(15):
        trial_id = f"t{number}"
        values = decisions.suggest(trial_id)
        assert reference.suggest(trial_id) == values
        for epoch in (1, 2, 3):
            metrics = metrics_at(values, epoch)
            result = {"epoch": epoch, **{f"metrics/{key}": v for key, v in metrics.items()}}
            said = scheduler.on_trial_result(None, RayTrial({"trial_id": trial_id}), result)
            goes_on = reference.report(trial_id, epoch, metrics)
            assert said == ("CONTINUE" if goes_on else "STOP")
            if not goes_on:
                break


def test_report_without_an_objective_is_an_error(spec: SearchSpec) -> None:
    decisions = make_decisions(spec)
    decisions.suggest("a")
    with pytest.raises(MissingObjectiveError):
        DecisionScheduler(new_search(spec, decisions)).on_trial_result(
            None, RayTrial({"trial_id": "a"}), {"epoch": 1, "metrics/clean_accuracy": 0.5}
        )


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
    import numpy as np

    metrics = trial_metrics({"metrics/parameters": 12, "metrics/train_loss": np.float32(0.5)})
    assert metrics == {"parameters": 12.0, "train_loss": 0.5}
    assert {type(value) for value in metrics.values()} == {float}
    assert trial_metrics({"epoch": 1}) == {}


def test_nothing_is_pickled_or_saved(
    searcher: DecisionSearcher, spec: SearchSpec, tmp_path: Path
) -> None:
    assert searcher.__getstate__() == {}
    assert DecisionScheduler(new_search(spec)).__getstate__() == {}
    pickle.dumps(searcher)
    searcher.save(str(tmp_path / "state"))
    assert list(tmp_path.iterdir()) == []
