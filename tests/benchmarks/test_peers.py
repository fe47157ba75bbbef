from __future__ import annotations

import math

import pytest

from tests.engine.make_recording import made_recording
from tests.engine.make_search import make_spec
from tunebox.decisions.trials import TrialState
from tunebox.engine.recorded import Replay, replay
from tunebox.spec.search_spec import SearchSpec

peers = pytest.importorskip(
    "benchmarks.peers", reason="needs the extra bench", exc_type=ImportError
)

pytestmark = pytest.mark.parametrize("name", list(peers.METHODS))
STOP_NOTHING = {"Ray OptunaSearch, no early stop", "Optuna NSGA-II", "random"}


def run(name: str, seed: int, num_workers: int = 3) -> Replay:
    spec = make_spec(seed)
    method = peers.METHODS[name](spec.space, spec.objective_set, spec.search)
    return replay(method, made_recording(), num_workers=num_workers, max_epochs=120)


def test_every_search_runs_and_ends_trials_where_it_should(name: str) -> None:
    result, spec = run(name, seed=5), make_spec()
    trials = list(result.log.trials.values())
    states = [trial.state for trial in trials]
    assert result.log.epochs_spent == 120
    assert states.count(TrialState.INTERRUPTED) <= 3
    assert TrialState.DIVERGED in states
    stopped = {trial.epochs for trial in trials if trial.state is TrialState.STOPPED}
    assert stopped == (set() if name in STOP_NOTHING else {1, 3})
    check_suggestions(spec, result)


def check_suggestions(spec: SearchSpec, result: Replay) -> None:
    for trial in result.log.trials.values():
        active = {leaf.path for leaf in spec.space.leaves if leaf.is_active(trial.settings)}
        assert set(trial.settings) == active
        spec.trial_config(trial.settings)
        assert 1e-4 <= float(trial.settings["optimizer/lr"] or math.nan) <= 1


def test_same_seed_gives_the_same_search(name: str) -> None:
    assert run(name, seed=1).log.trials == run(name, seed=1).log.trials
    assert run(name, seed=2).log.trials != run(name, seed=1).log.trials
