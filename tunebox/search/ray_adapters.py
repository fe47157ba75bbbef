"""Ray's searcher and scheduler over the decisions of `tunebox.search.decisions`."""

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from tunebox.search.decisions import Decisions
from tunebox.spec.search_spec import SearchSpec
from tunebox.trials import non_finite_metric


class NotPickled:
    """For what lives in the driver alone: Ray pickles its parts into files that we never read."""

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


class DecisionSearcher(NotPickled, Searcher):  # type: ignore[misc]
    """Gives Ray the settings of the next trial.

    A trial's config holds everything that its Trainable needs: ``trial_id`` (our own: trials
    are numbered, so that the same search gives the same names), ``values`` by leaf path, the
    resolved ``trial`` settings, ``seed`` and ``max_epochs``.
    """

    def __init__(self, decisions: Decisions, spec: SearchSpec) -> None:
        super().__init__()
        self._decisions = decisions
        self._spec = spec
        self._trial_ids: dict[str, str] = {}  # Ray's id: ours
        self._active: set[str] = set()

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return the config of a new trial, or None while max_concurrent trials are active."""
        limit = self._spec.search.max_concurrent
        if limit is not None and len(self._active) >= limit:
            return None
        self._active.add(trial_id)
        self._trial_ids[trial_id] = f"{len(self._trial_ids):04d}"
        values = self._decisions.suggest(self._trial_ids[trial_id])
        settings, _ = self._spec.space.resolve(values)
        return {
            "trial_id": self._trial_ids[trial_id],
            "values": values,
            "trial": settings,
            "seed": self._spec.search.seed,
            "max_epochs": self._spec.search.max_epochs,
        }

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: what the decisions know is in the records."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Make room for another trial; what was reported came through the scheduler."""
        self._active.discard(trial_id)
        last = result or {}
        failed = error or "failed" in last or non_finite_metric(trial_metrics(last)) is not None
        self._decisions.end(self._trial_ids[trial_id], failed=failed)


class DecisionScheduler(NotPickled, FIFOScheduler):  # type: ignore[misc]
    """Stops the trials that do not go on. Ray asks it after every epoch of every trial."""

    def __init__(self, decisions: Decisions) -> None:
        super().__init__()
        self._decisions = decisions

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Return CONTINUE or STOP."""
        if "failed" in result:
            return str(self.STOP)
        goes_on = self._decisions.report(
            trial.config["trial_id"], int(result["epoch"]), trial_metrics(result)
        )
        return str(self.CONTINUE if goes_on else self.STOP)


def trial_metrics(result: dict[str, Any]) -> dict[str, float]:
    """Return what the trial reported, without what Ray adds to a result."""
    prefix = "metrics/"
    if "metrics" in result:
        return {name: float(value) for name, value in result["metrics"].items()}
    return {
        key.removeprefix(prefix): float(value)
        for key, value in result.items()
        if key.startswith(prefix)
    }
