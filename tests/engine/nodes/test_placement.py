from __future__ import annotations

import pickle
from typing import Any

import pytest
from ray import tune

from tunebox.engine.nodes import placement as placement_module
from tunebox.engine.nodes.nodes import Node
from tunebox.engine.nodes.placement import TrialPlacement


@pytest.fixture(autouse=True)
def _nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster of two nodes that trials fit on, and one that is too small for any trial."""
    nodes = [Node("a", "one", {"CPU": 1.0}), Node("b", "two", {"CPU": 4.0}), Node("c", "head", {})]
    monkeypatch.setattr(placement_module, "alive_nodes", lambda: nodes)


def test_capacity_is_counted_on_nodes_that_are_not_excluded() -> None:
    assert TrialPlacement({"CPU": 1.0, "GPU": 0.0}, {}).capacity() == 5
    assert TrialPlacement({"CPU": 0.1}, {"b": "no data"}).capacity() == 10
    assert TrialPlacement({"CPU": 2.0}, {}).capacity() == 2
    assert TrialPlacement({"CPU": 1.0, "GPU": 0.5}, {}).capacity() == 0


@pytest.mark.parametrize(
    ("excluded", "options"),
    [
        ({}, {}),
        ({"b": "no data"}, {"bundle_label_selector": [{"ray.io/node-id": "!in(b)"}]}),
        ({"b": "", "a": ""}, {"bundle_label_selector": [{"ray.io/node-id": "!in(a,b)"}]}),
    ],
)
def test_ray_is_asked_for_a_node_that_is_not_excluded(
    monkeypatch: pytest.MonkeyPatch, excluded: dict[str, str], options: dict[str, Any]
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        placement_module, "placement_group", lambda *args, **kwargs: asked.append((args, kwargs))
    )
    TrialPlacement({"CPU": 1.0}, excluded).to_placement_group()
    assert asked == [(([{"CPU": 1.0}],), options)]


def test_actors_are_used_again_whatever_is_excluded() -> None:
    placement = TrialPlacement({"CPU": 1.0}, {"a": "no data"})
    same = TrialPlacement({"CPU": 1.0}, {})
    assert placement == same
    assert hash(placement) == hash(same)
    # a worker need not import the search to know what it has
    assert type(pickle.loads(pickle.dumps(placement))) is tune.PlacementGroupFactory
