"""The cluster's autoscaler: which nodes it can launch, and how many a search needs."""

import threading
import time
from contextlib import suppress
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import RayError

from tunebox.search import node_probe
from tunebox.search.nodes import Resources, alive_nodes, ask_nodes, driver_node_id
from tunebox.trials import SearchObserver, TrialLog, TrialRecord

cloudpickle.register_pickle_by_value(node_probe)

RENEW_SECONDS = 10.0
_LAPSE_SECONDS = 60.0  # after which a request that is not renewed is dropped
_NAME, _NAMESPACE = "tunebox-demand", "tunebox"
_ANSWER_SECONDS = 60.0


def launchable() -> list[Resources]:
    """Return what a node has of each type that the autoscaler can launch; none without one.

    An empty entry is a type of which that is not known before.
    """
    [head, *_] = alive_nodes()
    port = ray.get_runtime_context().gcs_address.rpartition(":")[2]
    if head.node_id == driver_node_id():
        return [*node_probe.launchable_types(port)]
    [answer] = ask_nodes([head], node_probe.launchable_types, port, seconds=_ANSWER_SECONDS)
    return [*(answer.found or [])]


def demand(asked: Resources, num_left: int, max_concurrent: int | None) -> list[SearchObserver]:
    """Return a `Demand` where there is an autoscaler to hear it."""
    return [Demand(asked, num_left, max_concurrent)] if launchable() else []


class Demand(SearchObserver):
    """Tells the autoscaler the room that all unfinished trials need, and lets go at the end.

    Ray Tune has few trials waiting at a time, so that each is suggested by what is known; the
    autoscaler, which goes by what waits, would add node after node.
    """

    def __init__(self, asked: Resources, num_left: int, max_concurrent: int | None) -> None:
        """Start asking with the first tick.

        Args:
            asked: By a trial.
            num_left: How many trials are to run.
            max_concurrent: How many of them at once, at most.
        """
        self._asked = {name: amount for name, amount in asked.items() if amount}
        self._num_left = num_left
        self._max_concurrent = max_concurrent or num_left
        self._search = ray.get_runtime_context().get_job_id()
        self._renewed = 0.0

    def search_started(self, log: TrialLog) -> None:
        """Ask."""
        self._renew()

    def trial_ended(self, trial: TrialRecord) -> None:
        """Need one less."""
        self._num_left -= 1

    def tick(self) -> None:
        """Ask again from time to time: a request of a search that was killed lapses."""
        if time.monotonic() - self._renewed > RENEW_SECONDS:
            self._renew()

    def search_ended(self, interrupted: bool, trouble: str | None = None) -> None:
        """Let go."""
        self._num_left = 0
        with suppress(RayError):
            ray.get(self._renew(), timeout=_ANSWER_SECONDS)  # before this process leaves Ray

    def _renew(self) -> Any:
        self._renewed = time.monotonic()
        number = max(0, min(self._num_left, self._max_concurrent))
        actor = ray.remote(Requests).options(
            name=_NAME,
            namespace=_NAMESPACE,
            get_if_exists=True,
            lifetime="detached",  # outlives a search that is killed, to drop its request
            max_restarts=-1,
            num_cpus=0,
            resources={"node:__internal_head__": 0.001},
        )
        return actor.remote().hold.remote(self._search, number * [self._asked])


class Requests:
    """An actor that holds what all searches on the cluster need: Ray has one request for all."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[float, list[Resources]]] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._drop_lapsed, daemon=True).start()

    def hold(self, search: str, bundles: list[Resources]) -> None:
        """Ask for room for ``bundles``, in place of what the same search asked for before."""
        with self._lock:
            self._held[search] = (time.monotonic(), bundles)
            self._tell()

    def _tell(self) -> None:
        from ray.autoscaler.sdk import request_resources

        request_resources(bundles=[dict(b) for _, bundles in self._held.values() for b in bundles])

    def _drop_lapsed(self) -> None:
        """Drop what is not renewed; end when nothing is left."""
        while True:
            time.sleep(RENEW_SECONDS)
            with self._lock:
                now = time.monotonic()
                self._held = {
                    search: (renewed, bundles)
                    for search, (renewed, bundles) in self._held.items()
                    if bundles and now - renewed < _LAPSE_SECONDS
                }
                self._tell()
                if not self._held:
                    this: Any = ray.get_runtime_context().current_actor
                    ray.kill(this)
