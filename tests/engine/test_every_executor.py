"""What every executor owes a search: the same events, whoever trains the trials."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.made_executor import MadeExecutor, Pausing, Written
from tests.engine.make_recording import made_recording
from tests.engine.make_search import make_spec
from tunebox.decisions.events import Ended, Event, Paused, Planned, Promoted, Reported, Started
from tunebox.decisions.state import SearchState
from tunebox.decisions.trials import TrialLog, TrialState
from tunebox.engine.drive import Outcome, drive
from tunebox.engine.executor import Executor
from tunebox.engine.in_process import InProcessExecutor
from tunebox.engine.recorded import RecordedExecutor
from tunebox.spec.load import spec_from_source
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.yaml_source import parse_yaml

SEARCH_FILE = """\
# What does a small network learn from few digits?
data: {kind: digits, train_images: 200}
model: {kind: mlp, width: {choice: [4, 8]}, depth: 1, feature_dim: 4}
losses:
  cross_entropy: {on: both}
  noise: {kind: gaussian, std: {uniform: [0.1, 0.9]}}
optimizer: {kind: sgd, lr: {log_uniform: [0.02, 0.2]}}
evaluation: {noise: {kind: gaussian, std: 0.5}}
search: {trials: 7, min_epochs: 1, max_epochs: 4, reduction_factor: 2, seed: 0, max_concurrent: 1}
"""

MakeExecutor = Callable[[SearchSpec, tuple[int, ...], Path], Executor]


def trained_spec() -> SearchSpec:
    return spec_from_source(parse_yaml(SEARCH_FILE, "trained.yaml"))


def made_spec() -> SearchSpec:
    spec = make_spec()
    search = spec.search.model_copy(update={"trials": 20})
    return dataclasses.replace(spec, search=search)


EXECUTORS: dict[str, tuple[Callable[[], SearchSpec], MakeExecutor]] = {
    "made": (made_spec, lambda spec, rungs, root: MadeExecutor(3)),
    "recorded": (made_spec, lambda spec, rungs, root: RecordedExecutor(made_recording(), 3)),
    "in_process": (trained_spec, InProcessExecutor),
}


def run(
    spec: SearchSpec, make: MakeExecutor, root: Path, pausing: bool
) -> tuple[Outcome, list[Event]]:
    state = SearchState.of(spec)
    if pausing:
        log = TrialLog(spec.objective_set, spec.constraint_set)
        state = SearchState(log, Pausing(spec), spec.search, spec.space)
    written = Written()
    rungs = Pausing(spec).rungs
    root.mkdir(exist_ok=True)
    outcome = drive(state, make(spec, rungs, root), [written], root=root)
    return outcome, written.events


def of_trial(events: list[Event], trial_id: str) -> list[Event]:
    return [event for event in events if getattr(event, "trial_id", None) == trial_id]


@pytest.mark.parametrize("pausing", [False, True], ids=["stopping", "pausing"])
@pytest.mark.parametrize("name", EXECUTORS)
def test_every_trial_runs_from_its_plan_to_its_end(
    name: str, pausing: bool, tmp_path: Path
) -> None:
    make_search, make = EXECUTORS[name]
    spec = make_search()
    outcome, events = run(spec, make, tmp_path, pausing)
    assert outcome.trouble is None
    trial_ids = [event.trial_id for event in events if isinstance(event, Planned)]
    assert len(trial_ids) == spec.search.trials
    for trial_id in trial_ids:
        first, second, *_, last = of_trial(events, trial_id)
        assert (type(first), type(second), type(last)) == (Planned, Started, Ended)
        epochs = [e.report.epoch for e in of_trial(events, trial_id) if isinstance(e, Reported)]
        assert epochs == list(range(1, len(epochs) + 1))
    kinds = Counter(map(type, events))
    assert kinds[Ended] == len(trial_ids)
    assert kinds[Paused] >= kinds[Promoted]
    assert (kinds[Promoted] > 0) == pausing
    # each promotion is followed by a start of the same trial, and by nothing else of it before
    for index, event in enumerate(events):
        if isinstance(event, Promoted):
            following = of_trial(events[index + 1 :], event.trial_id)
            assert isinstance(following[0], Started)
            assert isinstance(following[1], Reported)
    states = {trial.state for trial in outcome.log.trials.values()}
    assert states <= {TrialState.FINISHED, TrialState.STOPPED, TrialState.DIVERGED}


@pytest.mark.parametrize("name", EXECUTORS)
def test_a_spent_budget_ends_the_search(name: str, tmp_path: Path) -> None:
    make_search, make = EXECUTORS[name]
    spec = make_search()
    spec = dataclasses.replace(spec, search=spec.search.model_copy(update={"epochs": 6}))
    outcome, events = run(spec, make, tmp_path, pausing=False)
    assert outcome.reason == "the budget of 6 epochs is spent"
    assert sum(isinstance(event, Reported) for event in events) == 6
    assert TrialState.RUNNING not in {trial.state for trial in outcome.log.trials.values()}


def test_a_paused_trial_learns_as_if_it_had_not_been_paused(tmp_path: Path) -> None:
    spec = trained_spec()
    _, paused = run(spec, InProcessExecutor, tmp_path / "paused", pausing=True)
    whole = dataclasses.replace(
        spec, search=spec.search.model_copy(update={"min_epochs": spec.search.max_epochs})
    )
    outcome, _ = run(whole, InProcessExecutor, tmp_path / "whole", pausing=False)
    compared = 0
    for event in paused:
        if isinstance(event, Reported):
            trial = outcome.log.trials[event.trial_id]
            settings = next(
                e.settings for e in of_trial(paused, event.trial_id) if isinstance(e, Planned)
            )
            if settings == trial.settings:
                at_once = trial.history[event.report.epoch - 1].metrics
                assert learned(event.report.metrics) == learned(at_once)
                compared += event.report.epoch > 1
    assert compared


def learned(metrics: dict[str, float]) -> dict[str, float]:
    return {
        name: value
        for name, value in metrics.items()
        if name not in ("train_seconds", "images_per_second")
    }


def without_times(events: list[Event]) -> list[Event]:
    found: list[Event] = []
    for event in events:
        if isinstance(event, Reported):
            report = dataclasses.replace(
                event.report, time=0.0, metrics=learned(event.report.metrics)
            )
            found.append(dataclasses.replace(event, report=report, node=None, memory=None))
        elif isinstance(event, Started | Ended | Paused):
            found.append(dataclasses.replace(event, time=0.0))
        elif isinstance(event, Planned | Promoted):
            found.append(event)
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("joined")
@pytest.mark.parametrize("pausing", [False, True], ids=["stopping", "pausing"])
def test_a_search_on_ray_is_the_search_in_process(pausing: bool, tmp_path: Path) -> None:
    from tunebox.engine.ray.executor import RayTuneExecutor

    spec = trained_spec()
    _, on_ray = run(spec, RayTuneExecutor, tmp_path / "ray", pausing)
    _, in_process = run(spec, InProcessExecutor, tmp_path / "here", pausing)
    assert without_times(on_ray) == without_times(in_process)
    assert {e.node for e in on_ray if isinstance(e, Reported)} == {os.uname().nodename}
