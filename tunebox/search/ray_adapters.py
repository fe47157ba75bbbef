"""Ray's searcher and scheduler over the decisions of `tunebox.search.decisions`."""

from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from tunebox.search.past import Past
from tunebox.spec.search_spec import SearchSpec
from tunebox.trials import SearchObserver, non_finite_metric


class NotPickled:
    """For what lives in the driver alone: Ray pickles its parts into files that we never read."""

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


class DecisionSearcher(NotPickled, Searcher):  # type: ignore[misc]
    """Gives Ray the next trial: first those that wait from before a resume, then new ones.

    A trial's config holds everything that its Trainable needs: ``trial_id`` (our own: trials
    are numbered, so that the same search gives the same names), ``values`` by leaf path, the
    resolved ``trial`` settings, ``seed``, ``max_epochs``, the ``rungs`` at which it may end, the
    folder of its ``checkpoints`` and the last epoch that was ``reported``.
    """

    def __init__(
        self, past: Past, spec: SearchSpec, checkpoints: Path, observer: SearchObserver
    ) -> None:
        """Start after ``past``.

        Args:
            past: What is known; its decisions are asked for new trials. A trial that is given to
                Ray waits no longer.
            spec: What is searched.
            checkpoints: Of the search; each trial has a folder of its own in it.
            observer: Told of each new trial as soon as it has its settings.
        """
        super().__init__()
        self._past = past
        self._spec = spec
        self._checkpoints = checkpoints
        self._observer = observer
        self._trial_ids: dict[str, str] = {}  # Ray's id: ours
        self._active: set[str] = set()

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return the config of the next trial, or None while max_concurrent trials are active."""
        limit = self._spec.search.max_concurrent
        if limit is not None and len(self._active) >= limit:
            return None
        self._active.add(trial_id)
        our_id = next(iter(self._past.waiting), None) or self._plan()
        values = self._past.waiting.pop(our_id)
        self._trial_ids[trial_id] = our_id
        record = self._past.log.trials.get(our_id)
        settings, _ = self._spec.space.resolve(values)
        return {
            "trial_id": our_id,
            "values": values,
            "trial": settings,
            "seed": self._spec.search.seed,
            "max_epochs": self._spec.search.max_epochs,
            "rungs": self._past.decisions.rungs,
            "checkpoints": str(self._checkpoints / our_id),
            "reported": 0 if record is None else record.epochs,
        }

    def _plan(self) -> str:
        trial_id = f"{self._past.num_planned:04d}"
        self._past.num_planned += 1
        values = self._past.decisions.suggest(trial_id)
        self._observer.trial_planned(trial_id, values)
        self._past.waiting[trial_id] = values
        return trial_id

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: what the decisions know is in the journal."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Make room for another trial; what was reported came through the scheduler."""
        self._active.discard(trial_id)
        our_id, last = self._trial_ids[trial_id], result or {}
        failed = error or "failed" in last or non_finite_metric(trial_metrics(last)) is not None
        if our_id not in self._past.waiting:
            self._past.decisions.end(our_id, failed=failed)


class DecisionScheduler(NotPickled, FIFOScheduler):  # type: ignore[misc]
    """Stops the trials that do not go on. Ray asks it after every epoch of every trial."""

    def __init__(self, past: Past) -> None:
        """Ask the decisions of ``past``; a trial that Ray gives up too early waits in it again."""
        super().__init__()
        self._past = past

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Let a trial wait again whose actor died while it changed from one trial to this one.

        Ray Tune then starts it again, for its actor is lost, and gives it up at once, for the
        change failed too.
        """
        if trial.status == Trial.PENDING:
            self._past.waiting[trial.config["trial_id"]] = trial.config["values"]

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Return CONTINUE or STOP. An epoch that a trial repeats has been decided on before."""
        if "failed" in result:
            return str(self.STOP)
        trial_id, epoch = trial.config["trial_id"], int(result["epoch"])
        record = self._past.log.trials.get(trial_id)
        if record is not None and epoch <= record.epochs:
            return str(self.CONTINUE)
        goes_on = self._past.decisions.report(trial_id, epoch, trial_metrics(result))
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
