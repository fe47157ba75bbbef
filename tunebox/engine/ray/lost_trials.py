"""Why Ray Tune's trials fail outside of their own code: a worker, its memory, or a node is lost."""

from pathlib import Path

from ray import cloudpickle
from ray.exceptions import RayActorError
from ray.tune.experiment import Trial

_LOST_WORKER = ("ActorDiedError", "ActorUnavailableError", "actor died", "NodeDiedError")
_SHUT_DOWN = "node was terminated expectedly"  # by a SIGTERM: as ``ray stop`` and clouds end a node


def reason(trial: Trial) -> str:
    """Return why a trial failed last, in one line."""
    if was_given_back(trial):
        return "its node was drained or shut down, which does not count as a failure"
    text = _last_failure(trial)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "Ray gave no reason"
    if any(sign in text for sign in _LOST_WORKER):
        return f"its worker process died: {' '.join(lines[1:])}"
    return lines[-1].removeprefix("tunebox.errors.NodeError: ")


def was_given_back(trial: Trial) -> bool:
    """Whether a trial failed last because its node was drained before it ended, or shut down."""
    error = _last_actor_error(trial)
    return error is not None and (error.preempted or _SHUT_DOWN in str(error))


def is_counted_by_ray(trial: Trial) -> bool:
    """Whether Ray Tune counts the last failure of a trial: all but those of drained nodes."""
    error = _last_actor_error(trial)
    return error is None or not error.preempted


def _last_actor_error(trial: Trial) -> RayActorError | None:
    """Return the error if what failed last was the actor of a trial, and not what it ran."""
    if not trial.pickled_error_file:
        return None
    try:
        error = cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
    except Exception:  # an unpickled error can raise whatever its class does
        return None
    is_last = _last_failure(trial).endswith(f"{error}\n")  # not every failure is pickled
    return error if isinstance(error, RayActorError) and is_last else None


def _last_failure(trial: Trial) -> str:
    """Return Ray's message about the last failure of a trial, empty if there is none.

    Ray's own get_error() looks into the storage, where the file may arrive only later.
    """
    if not trial.error_file:
        return ""
    try:
        text = Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text[max(0, text.rfind("Failure #")) :]
