"""Why Ray Tune's trials fail outside of their own code: a worker, its memory, or a node is lost."""

import re
from pathlib import Path

from ray import cloudpickle
from ray.exceptions import RayActorError
from ray.tune.experiment import Trial

from tunebox.engine.worker import OUT_OF_MEMORY_SIGNS

_LOST_WORKER = ("ActorDiedError", "ActorUnavailableError", "actor died", "NodeDiedError")
_OUT_OF_MEMORY = "running low on memory"
_NODE_ERROR = "tunebox.errors.NodeError: "
_USED = re.compile(r"was ([\d.]+)GB used / ([\d.]+)GB")
_ALLOWED = re.compile(r"exceeded threshold of (\d+)B")
_ADVICE = (
    "run fewer at once with --max-concurrent, or take a smaller training/batch_size, "
    "data/image_size or model"
)
_SHUT_DOWN = "node was terminated expectedly"  # by a SIGTERM: as ``ray stop`` and clouds end a node


def reason(trial: Trial) -> str:
    """Return why a trial failed last, in one line."""
    if was_given_back(trial):
        return "its node was drained or shut down, which does not count as a failure"
    text = _last_failure(trial)
    if _OUT_OF_MEMORY in text:
        return f"{_describe_memory(text)}; {_ADVICE}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "Ray gave no reason"
    if any(sign in text for sign in _LOST_WORKER):
        return f"its worker process died: {' '.join(lines[1:])}"
    why = lines[-1].removeprefix(_NODE_ERROR)
    return f"{why}; {_ADVICE}" if _found_no_memory(text) else why


def ran_out_of_memory(trial: Trial) -> bool:
    """Whether a trial failed last because its node or its GPU was short of memory."""
    text = _last_failure(trial)
    return _OUT_OF_MEMORY in text or _found_no_memory(text)


def _found_no_memory(text: str) -> bool:
    """Whether the trial itself got no memory, of the node or of a GPU, as its worker says it."""
    [last] = text.strip().splitlines()[-1:] or [""]
    if not last.startswith(_NODE_ERROR):
        return False
    why = last.removeprefix(_NODE_ERROR)
    return why.startswith("MemoryError") or any(sign in why for sign in OUT_OF_MEMORY_SIGNS)


def _describe_memory(text: str) -> str:
    used, allowed = _USED.search(text), _ALLOWED.search(text)
    numbers = ""
    if used is not None:
        numbers = f" ({used[1]} of {used[2]} GB were used"
        if allowed is not None:
            numbers += f", and Ray allows {int(allowed[1]) / 2**30:.2f}"
        numbers += ")"
    return f"Ray ended its worker because the memory of the node ran out{numbers}"


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
