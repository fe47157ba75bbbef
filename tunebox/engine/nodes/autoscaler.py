"""Ray's autoscaler: which node types it can launch, and the resources that a search requests."""

import threading
import time
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError

from tunebox.decisions.events import Ended, Event, Observer, SearchEnded, SearchStarted
from tunebox.engine.nodes import probes
from tunebox.engine.nodes.nodes import Resources, alive_nodes, driver_node_id, run_on_nodes

_RENEW_SECONDS = 10.0
_EXPIRY_SECONDS = 60.0  # after which a request that was not renewed is dropped
_NAME, _NAMESPACE = "tunebox-demand", "tunebox"
_TIMEOUT_SECONDS = 60.0


def launchable_node_types() -> list[Resources]:
    """Return the resources of each node type that the autoscaler can launch.

    The list is empty without an autoscaler. An empty entry is a node type whose resources are not
    known before it is launched.
    """
    [head, *_] = alive_nodes()
    port = ray.get_runtime_context().gcs_address.rpartition(":")[2]
    if head.node_id == driver_node_id():
        return [*probes.launchable_node_types(port)]
    [result] = run_on_nodes([head], probes.launchable_node_types, port, timeout=_TIMEOUT_SECONDS)
    return [*(result.value or [])]


def demand_observers(
    request: Resources, num_trials: int, max_concurrent: int | None
) -> list[Observer]:
    """Return a `DemandObserver` if the cluster has an autoscaler, else nothing."""
    if not launchable_node_types():
        return []
    return [DemandObserver(request, num_trials, max_concurrent)]


class DemandObserver(Observer):
    """Requests resources for all unfinished trials from the autoscaler, until the search ends.

    Ray Tune keeps few trials pending, so that each is suggested with all results known by then.
    The autoscaler counts pending work: without this request it would add one node at a time.
    """

    def __init__(self, request: Resources, num_trials: int, max_concurrent: int | None) -> None:
        """Request nothing until the search starts.

        Args:
            request: Resources of a trial.
            num_trials: Number of trials that are left to run.
            max_concurrent: Largest number of concurrent trials; None for no limit.
        """
        self._request = {name: amount for name, amount in request.items() if amount}
        self._num_left = num_trials
        self._max_concurrent = max_concurrent or num_trials
        self._search = ray.get_runtime_context().get_job_id()
        self._renewed_at = 0.0

    def on(self, event: Event) -> None:
        """Send the first request, lower it after each end, withdraw it at the search's end."""
        if isinstance(event, SearchStarted):
            self._renew()
        elif isinstance(event, Ended):
            self._num_left -= 1
        elif isinstance(event, SearchEnded):
            self._num_left = 0
            with suppress(RayError):
                ray.get(self._renew(), timeout=_TIMEOUT_SECONDS)  # before this process disconnects

    def tick(self) -> None:
        """Renew the request: one that is not renewed, after the search was killed, expires."""
        if time.monotonic() - self._renewed_at > _RENEW_SECONDS:
            self._renew()

    def _renew(self) -> Any:
        self._renewed_at = time.monotonic()
        number = max(0, min(self._num_left, self._max_concurrent))
        actor = ray.remote(ResourceRequests).options(
            name=_NAME,
            namespace=_NAMESPACE,
            get_if_exists=True,
            lifetime="detached",  # outlives a search that is killed, to expire its request
            max_restarts=-1,
            num_cpus=0,
            resources={"node:__internal_head__": 0.001},
        )
        return actor.remote().set.remote(self._search, number * [self._request])


class ResourceRequests:
    """Actor that adds up the requests of all searches: Ray keeps one request per cluster."""

    def __init__(self) -> None:
        self._requests: dict[str, tuple[float, list[Resources]]] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._drop_expired, daemon=True).start()

    def set(self, search: str, bundles: list[Resources]) -> None:
        """Replace the request of ``search`` by ``bundles``, the resources of one trial each."""
        with self._lock:
            self._requests[search] = (time.monotonic(), bundles)
            self._send()

    def _send(self) -> None:
        from ray.autoscaler.sdk import request_resources

        request_resources(
            bundles=[dict(b) for _, bundles in self._requests.values() for b in bundles]
        )

    def _drop_expired(self) -> None:
        """Drop requests that were not renewed, and end the actor when none is left."""
        while True:
            time.sleep(_RENEW_SECONDS)
            with self._lock:
                now = time.monotonic()
                self._requests = {
                    search: (renewed, bundles)
                    for search, (renewed, bundles) in self._requests.items()
                    if bundles and now - renewed < _EXPIRY_SECONDS
                }
                self._send()
                if not self._requests:
                    this: Any = ray.get_runtime_context().current_actor
                    ray.kill(this)
