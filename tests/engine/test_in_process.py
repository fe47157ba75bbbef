"""What the executor in this process makes of a worker's results and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.made_executor import Written
from tests.engine.make_running import Noting
from tests.engine.make_search import SEARCH_FILE
from tunebox.decisions.events import Started
from tunebox.decisions.state import SearchState
from tunebox.decisions.trials import TrialState
from tunebox.engine.drive import Outcome, drive
from tunebox.engine.in_process import InProcessExecutor
from tunebox.engine.worker import TrialWorker
from tunebox.errors import NodeError
from tunebox.spec.load import spec_from_source
from tunebox.spec.yaml_source import parse_yaml

METRICS = {"clean_accuracy": 0.5, "noisy_accuracy": 0.5}


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[Outcome, Written, list[int]]]:
    """Run a search of one trial whose workers give ``results``, one a step."""

    def run_search(*results: Any, **options: Any) -> tuple[Outcome, Written, list[int]]:
        left, workers = list(results), list[int]()

        def step(worker: TrialWorker) -> dict[str, Any]:
            if id(worker) not in workers:
                workers.append(id(worker))
            kept.append(worker)
            result = left.pop(0)
            if isinstance(result, Exception):
                raise result
            return dict(result)

        kept: list[TrialWorker] = []  # so that no two of them get the same id
        monkeypatch.setattr(TrialWorker, "step", step)
        settings = {"trials": 1, "max_epochs": 3, **options}
        spec = spec_from_source(parse_yaml(SEARCH_FILE, "made.yaml"), settings)
        written = Noting()
        executor = InProcessExecutor(spec, (1, 3), tmp_path)
        outcome = drive(SearchState.of(spec), executor, [written], root=tmp_path)
        return outcome, written, workers

    return run_search


def epoch(number: int, **more: Any) -> dict[str, Any]:
    return {"epoch": number, "metrics": METRICS, **more}


def test_a_trial_without_memory_starts_again_in_another_worker(run: Any) -> None:
    error = NodeError("MemoryError: too much")
    results = [epoch(1), error, epoch(1), epoch(2), epoch(3)]
    outcome, written, workers = run(*results, max_failures=1)
    assert len(workers) == 2
    assert outcome.notes[0] == "trial 0000 starts again: MemoryError: too much"
    record = outcome.log.trials["0000"]
    assert (record.state, record.epochs) == (TrialState.FINISHED, 3)
    assert sum(isinstance(event, Started) for event in written.events) == 1


def test_a_trial_that_starts_again_too_often_has_failed(run: Any) -> None:
    error = NodeError("MemoryError: too much")
    outcome, _, workers = run(error, error, max_failures=1)
    assert len(workers) == 2
    record = outcome.log.trials["0000"]
    assert (record.state, record.reason) == (TrialState.FAILED, "MemoryError: too much")


def test_a_trial_that_raised_has_failed_at_once(run: Any, tmp_path: Path) -> None:
    failure = {"failed": "KeyError: 'x'", "failed_at": "here", "traceback": "Traceback .."}
    outcome, _, _ = run(failure)
    record = outcome.log.trials["0000"]
    assert (record.state, record.reason) == (TrialState.FAILED, "KeyError: 'x'")
    assert (tmp_path / "errors" / "0000.txt").read_text() == "Traceback .."
    assert outcome.reason == "all 1 trials have ended"


def test_an_epoch_whose_checkpoint_failed_is_left_to_the_resume(run: Any) -> None:
    full = epoch(2, unwritable="/out: No space left on device", notes=["a line"])
    outcome, _, _ = run(epoch(1), full)
    assert outcome.trouble == "a checkpoint cannot be written: /out: No space left on device"
    assert outcome.notes == ["a line"]
    record = outcome.log.trials["0000"]
    assert (record.state, record.epochs) == (TrialState.INTERRUPTED, 1)
