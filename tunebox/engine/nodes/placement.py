"""Resource request of a trial that excludes unfit nodes."""

from collections.abc import Mapping
from typing import Any

from ray import tune
from ray.util.placement_group import PlacementGroup, placement_group

from tunebox.engine.nodes.nodes import Resources, alive_nodes

NODE_ID = "ray.io/node-id"  # a label that Ray gives to every node


class TrialPlacement(tune.PlacementGroupFactory):  # type: ignore[misc]
    """Resources of a trial, on any node but the excluded ones.

    It equals the same request with other excluded nodes, so that Ray Tune reuses a running actor
    after a node has been excluded.

    Attributes:
        excluded: Reason by node id. Nodes that turn out to be unfit are added during the search.
    """

    def __init__(self, resources: Resources, excluded: Mapping[str, str]) -> None:
        """Request ``resources`` on a node that is not in ``excluded``."""
        super().__init__([dict(resources)])
        self.excluded = dict(excluded)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a plain request: actors read their resources from it without this package."""
        return tune.PlacementGroupFactory, (self.bundles,)

    def to_placement_group(self) -> PlacementGroup:
        """Ask Ray to reserve the resources of one trial."""
        if not self.excluded:
            return placement_group(self.bundles)
        selector = {NODE_ID: f"!in({','.join(sorted(self.excluded))})"}
        return placement_group(self.bundles, bundle_label_selector=[selector])

    def capacity(self) -> int:
        """Return how many trials fit on the nodes that are alive when nothing else runs."""
        nodes = [node for node in alive_nodes() if node.node_id not in self.excluded]
        return sum(node.capacity(self.required_resources) for node in nodes)
