import pytest

from tests.records.make_log import CLEAN, LOSS, NOISY, OBJECTIVES, make_log, make_trial
from tunebox.decisions.trials import TrialLog
from tunebox.pareto.constraints import Constraint, Constraints
from tunebox.pareto.objectives import Objectives
from tunebox.reports.front_view import front_view
from tunebox.reports.methods import branch_path


def log_of(points: list[tuple[float, float]]) -> TrialLog:
    log = TrialLog(OBJECTIVES)
    for number, (clean, noisy) in enumerate(points):
        log.trials[f"t{number}"] = make_trial(f"t{number}", clean, noisy)
    return log


def test_the_line_is_the_edge_of_what_is_dominated() -> None:
    view = front_view(log_of([(0.5, 0.5), (0.6, 0.8), (0.9, 0.2), (0.8, 0.6)]), "s")
    assert view.line == [(0.9, 0.2), (0.8, 0.2), (0.8, 0.6), (0.6, 0.6), (0.6, 0.8)]
    assert [point.trial.trial_id for point in view.points if point.on_front] == ["t1", "t2", "t3"]


def test_the_title_counts_all_trials() -> None:
    log = make_log(20)
    view = front_view(log, "digits-1")
    assert view.title == f"digits-1: 20 trials, {len(log.front())} on the front"
    assert f"{log.hypervolume():.4f}" in view.subtitle
    assert len(view.points) < 20
    assert view.x.title == "clean accuracy on validation (higher is better)"
    assert view.x.is_share


def test_points_far_from_the_front_are_outside_and_counted() -> None:
    view = front_view(log_of([(0.95, 0.8), (0.9, 0.85), (0.88, 0.8), (0.1, 0.1), (0.2, 0.1)]), "s")
    assert view.num_outside == 2
    assert view.x.range is not None
    assert 0.5 < view.x.range[0] < 0.88
    assert view.x.range[1] > 0.95


def test_one_objective_is_drawn_over_the_trials() -> None:
    log = log_of([(0.5, 0), (0.4, 0), (0.9, 0), (0.7, 0)])
    log.objectives = Objectives([CLEAN])
    view = front_view(log, "s")
    assert [(point.x, point.y) for point in view.points] == [(1, 0.5), (2, 0.4), (3, 0.9), (4, 0.7)]
    assert view.line[-1] == (4, 0.9)
    assert [point.x for point in view.points if point.on_front] == [3]
    assert view.x.range is view.y.range is None


def test_what_breaks_a_constraint_is_no_best_so_far() -> None:
    log = log_of([(0.5, 0.1), (0.9, 0.5), (0.7, 0.2)])
    log.objectives = Objectives([CLEAN])
    log.constraints = Constraints([Constraint("noisy_accuracy", None, 0.4)])
    view = front_view(log, "s")
    assert view.line == [(1.0, 0.5), (3.0, 0.5), (3.0, 0.7)]
    assert len(view.points) == 3


def test_three_objectives_have_no_edge() -> None:
    view = front_view(make_log(30, objectives=Objectives([CLEAN, NOISY, LOSS])), "s")
    assert view.line == []
    assert any(point.on_front for point in view.points)


@pytest.mark.parametrize("seed", [0, 1])
def test_trials_are_grouped_by_the_branch_they_took(seed: int) -> None:
    log = make_log(30, seed)
    assert branch_path(log.trials.values()) == "losses"
    view = front_view(log, "s")
    assert view.groups == ["clean_only", "noisy"]
    assert all(point.group == point.trial.settings["losses"] for point in view.points)


def test_without_branches_there_is_one_group() -> None:
    view = front_view(log_of([(0.5, 0.5)]), "s")
    assert view.groups == ["trials"]
    assert view.group_title == ""


def test_the_best_of_every_branch_is_in_the_picture() -> None:
    log = log_of([(0.95, 0.8), (0.9, 0.85), (0.88, 0.8), (0.1, 0.1), (0.3, 0.05), (0.2, 0.1)])
    for number, trial in enumerate(log.trials.values()):
        branch = "ours" if number < 3 else "other"
        trial.settings = {"losses": branch, f"losses/{branch}/noise/std": 0.1}
    view = front_view(log, "s")
    assert view.x.range is not None
    assert view.y.range is not None
    assert view.x.range[0] < 0.1
    assert view.y.range[0] < 0.05
    assert view.num_outside == 0
