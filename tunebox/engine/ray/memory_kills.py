"""Makes Ray Tune survive workers that Ray ends because the memory of a node runs out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError

_HANDLER = "_actor_task_failed"


@contextmanager
def memory_kills_as_lost_actors() -> Iterator[None]:
    """Let Ray Tune treat an actor that was ended for lack of memory like any actor that is lost.

    Without it the run of all trials ends: a task of such an actor fails with `OutOfMemoryError`,
    which is no `RayActorError`, and Ray Tune raises for errors that it does not expect (Ray 2.60).
    """
    handle = getattr(RayActorManager, _HANDLER)

    def handle_all(
        manager: RayActorManager, tracked_actor_task: Any, exception: Exception
    ) -> None:  # the names are Ray's
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=str(exception))
        handle(manager, tracked_actor_task, exception)

    setattr(RayActorManager, _HANDLER, handle_all)
    try:
        yield
    finally:
        setattr(RayActorManager, _HANDLER, handle)
