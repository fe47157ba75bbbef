from __future__ import annotations

import math

import pytest

from tests.engine.make_recording import made_recording
from tests.engine.make_search import make_decisions, make_spec
from tunebox.decisions.trials import TrialLog
from tunebox.engine import efficiency
from tunebox.engine.efficiency import BUDGET_SHARES, GOALS, Efficiency
from tunebox.engine.recorded import Recording, replay
from tunebox.pareto.objectives import Objective, Objectives


def test_what_a_search_reached_is_read_off_its_replay() -> None:
    recording = made_recording()
    found = efficiency.measure(make_decisions(make_spec()), recording, workers=3, budget=130)
    result = replay(make_decisions(make_spec()), recording, num_workers=3, max_epochs=130)
    reached = [volume / recording.best_hypervolume for volume in result.hypervolumes]
    assert found.hypervolumes == pytest.approx([reached[12], reached[31], reached[64], reached[-1]])
    assert found.mean == pytest.approx(sum(reached) / 130)
    assert found.trials == len(result.log.trials)
    for goal, epochs in zip(GOALS, found.epochs_to, strict=True):
        after = [n for n, share in enumerate(reached, start=1) if share >= goal - 1e-12]
        assert epochs == (after[0] if after else math.inf)


def test_budget_smaller_than_its_tenth_part_is_measured_at_its_first_epoch() -> None:
    decisions = make_decisions(make_spec())
    found = efficiency.measure(decisions, made_recording(), workers=1, budget=2)
    assert len(found.hypervolumes) == len(BUDGET_SHARES)
    assert found.hypervolumes[0] == found.hypervolumes[2]


def test_recording_in_which_nothing_counts_is_an_error() -> None:
    spec, log = make_spec(), TrialLog(Objectives([Objective("clean_accuracy", True, 2.0)]))
    log.trials = {trial.trial_id: trial for trial in made_recording().trials}
    recording = Recording(spec.space, log)
    with pytest.raises(ValueError, match="better than the reference of every objective"):
        efficiency.measure(make_decisions(spec), recording, workers=1, budget=5)


def test_row_has_medians_quartiles_and_how_many_got_there() -> None:
    runs = [
        Efficiency(0.5, (0.1 * n,) * 4, (10.0 * n, 50.0 if n < 3 else math.inf), trials=n)
        for n in (4, 1, 5, 3, 2)
    ]
    cells = efficiency.row(runs, 720)
    assert cells[:4] == ["30.00% [20.0%, 40.0%]"] * 4
    assert cells[4:] == ["30 (5/5)", "> 720 (2/5)", "3"]
    assert len(efficiency.headings(720)) == len(cells)
    assert efficiency.headings(720)[:2] == ["10% (72)", "25% (180)"]
