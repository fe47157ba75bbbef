from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune

from tests.command_line import SEARCH_FILE
from tunebox.search import placement as placement_module
from tunebox.search.budget import Budget
from tunebox.search.ending import Ending
from tunebox.search.marked_folder import MarkedFolder, marked_folder
from tunebox.search.nodes import Node
from tunebox.search.past import take_up
from tunebox.search.placement import PlacingScheduler, TrialPlacement
from tunebox.spec.load import spec_from_source
from tunebox.spec.yaml_source import parse_yaml

MARK = MarkedFolder("/nowhere", "abc")


class FakeTrial(SimpleNamespace):
    def update_resources(self, resources: Any) -> None:
        self.resources = resources


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> PlacingScheduler:
    """On a cluster of two nodes with room, and one that is too small for any trial."""
    nodes = [Node("a", "one", {"CPU": 1.0}), Node("b", "two", {"CPU": 4.0}), Node("c", "head", {})]
    monkeypatch.setattr(placement_module, "alive_nodes", lambda: nodes)
    spec = spec_from_source(parse_yaml(SEARCH_FILE, "made.yaml"), {})
    past = take_up(spec)
    ending = Ending(Budget(spec.search, past.log))
    return PlacingScheduler(past, TrialPlacement({"CPU": 1.0}, {}), MARK, ending)


def unfit(node_id: str) -> dict[str, Any]:
    return {"unfit": f"node {node_id} is left out: no data", "node_id": node_id}


def test_a_trial_is_told_where_it_may_run(scheduler: PlacingScheduler) -> None:
    trial = FakeTrial(config={})
    scheduler.on_trial_add(None, trial)
    assert trial.config == {"mark": MARK}
    assert trial.resources.required_resources == {"CPU": 1.0}


def test_an_unfit_node_is_left_out_and_does_not_count_as_a_failure(
    scheduler: PlacingScheduler,
) -> None:
    asked: list[Any] = []
    trial = FakeTrial(config={}, max_failures=0)
    scheduler.on_trial_add(None, trial)
    assert scheduler.on_trial_result(None, trial, unfit("b")) == "CONTINUE"
    assert trial.max_failures == 1
    assert scheduler.ending.trouble is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            placement_module, "placement_group", lambda *_, **options: asked.append(options)
        )
        trial.resources.to_placement_group()
    assert asked == [{"bundle_label_selector": [{"ray.io/node-id": "!in(b)"}]}]


def test_the_search_ends_when_no_node_is_left(scheduler: PlacingScheduler) -> None:
    trial = FakeTrial(config={}, max_failures=0)
    scheduler.on_trial_result(None, trial, unfit("a"))
    assert scheduler.ending.trouble is None
    scheduler.on_trial_result(None, trial, unfit("b"))
    assert scheduler.ending.trouble == (
        "no node is left that can run trials: node b is left out: no data"
    )


def test_places_are_counted_on_nodes_that_are_not_left_out(scheduler: PlacingScheduler) -> None:
    assert TrialPlacement({"CPU": 1.0, "GPU": 0.0}, {}).num_places() == 5
    assert TrialPlacement({"CPU": 0.1}, {"b": "no data"}).num_places() == 10
    assert TrialPlacement({"CPU": 2.0}, {}).num_places() == 2
    assert TrialPlacement({"CPU": 1.0, "GPU": 0.5}, {}).num_places() == 0


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
    scheduler: PlacingScheduler, states: str, chosen: int | None
) -> None:
    trials = [SimpleNamespace(status=status) for status in states.split()]
    controller = SimpleNamespace(get_trials=lambda: trials)
    expected = None if chosen is None else trials[chosen]
    assert scheduler.choose_trial_to_run(controller) is expected


def test_actors_are_used_again_whatever_is_left_out() -> None:
    placement = TrialPlacement({"CPU": 1.0}, {"a": "no data"})
    same = TrialPlacement({"CPU": 1.0}, {})
    assert placement == same
    assert hash(placement) == hash(same)
    # a worker need not import the search to know what it has
    assert type(pickle.loads(pickle.dumps(placement))) is tune.PlacementGroupFactory


def test_a_marked_folder_is_gone_afterwards(tmp_path: Path) -> None:
    with marked_folder(tmp_path / "out" / ".nodes") as mark:
        assert (Path(mark.folder) / "token").read_text() == mark.token
        assert not mark.has_mark_of("a")
        (Path(mark.folder) / "a").write_text(mark.token)
        (Path(mark.folder) / "b").write_text("other")
        assert mark.has_mark_of("a")
        assert not mark.has_mark_of("b")
    assert list((tmp_path / "out").iterdir()) == []
