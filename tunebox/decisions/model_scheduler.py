"""Who goes on, by what the model of the `gp` sampler expects an epoch to gain.

At each modelled epoch from the first rung on, a trial goes on while the hypervolume that it is
expected to gain, for each epoch that it still needs, is no less than a share of that of a new
trial; otherwise it pauses. A free worker takes the paused trial with the largest expected gain for
each epoch, where that is more than that of the next suggestion [Swersky2014]. Until there is a
model, the ladder decides who goes on.

[Swersky2014] K. Swersky, J. Snoek, R. P. Adams. Freeze-thaw Bayesian optimization.
    arXiv:1406.3896.
"""

from tunebox.decisions.gp_sampler import GpSampler
from tunebox.decisions.method import Verdict
from tunebox.pareto.constraints import total_violation
from tunebox.pareto.objectives import FloatArray
from tunebox.pareto.rungs import Ladder
from tunebox.spec.space import Values

FIRST_TRIALS = 8  # with a report, from which on there is a model
_SHARE = 0.5  # of the gain of a new trial's epoch: what one of a trial at work must be


class ModelScheduler:
    """Decides which trials continue, pause or stop; each decision follows from the reports.

    It tells the sampler of reports and pauses, as it must compare a report with what was expected
    before.
    """

    def __init__(
        self, ladder: Ladder, sampler: GpSampler, last_epoch: int, max_paused: int
    ) -> None:
        """Start without any trial.

        Args:
            ladder: Decides until there is a model.
            sampler: Has the model.
            last_epoch: The epochs of a full training.
            max_paused: The largest number of paused trials.
        """
        self._ladder = ladder
        self._sampler = sampler
        self._last_epoch = last_epoch
        self._max_paused = max_paused
        self._epochs: dict[str, int] = {}  # of each trial that has not ended
        self._paused: dict[str, str] = {}  # and why
        self._newest: float | None = None  # gain of an epoch of the newest modelled suggestion

    def adopt(self, values: Values) -> None:
        """Note what the next trial is expected to gain, if the model has suggested it."""
        if self._sampler.is_modelled and not self._sampler.is_turn_of_tpe:
            self._newest = self._sampler.gain_of_new(values) / self._last_epoch

    def report(
        self, trial_id: str, epoch: int, costs: FloatArray, violations: FloatArray
    ) -> Verdict:
        """Record a report, also with the sampler, and return what the trial does after it."""
        self._epochs[trial_id] = epoch
        self._sampler.compare(trial_id, epoch, costs)
        self._sampler.tell(trial_id, epoch, costs, violations)
        is_kept = self._ladder.report(trial_id, epoch, costs, total_violation(violations))
        if epoch >= self._last_epoch:
            return Verdict.STOP
        if epoch not in self._sampler.modelled_epochs:
            return Verdict.CONTINUE
        reason = None if is_kept else f"not among the best at the rung of epoch {epoch}"
        if self._sampler.is_modelled and self._newest is not None:
            reason = self._reason_to_pause(trial_id, self._newest)
        if reason is None:
            return Verdict.CONTINUE
        self._paused[trial_id] = reason
        self._sampler.pause(trial_id)
        return Verdict.PAUSE

    def choose_paused(self) -> str | None:
        """Return the paused trial that a free worker goes on with, None to start a new one."""
        if not self._paused or not self._sampler.is_modelled or self._newest is None:
            return None
        gain, trial_id = max(self._gains_of_paused())
        new = self._newest
        if gain > new and not self._sampler.is_turn_of_tpe:  # the next one costs time to find
            new = self._sampler.gain_of_next() / self._last_epoch
        return trial_id if gain > new else None

    def choose_superfluous(self) -> str | None:
        """Return the paused trial that gains least if there are too many, else None."""
        if len(self._paused) <= self._max_paused:
            return None
        if not self._sampler.is_modelled:
            return next(iter(self._paused))
        return min(self._gains_of_paused())[1]

    def why_stopped(self, trial_id: str) -> str | None:
        """Return why a paused trial did not go on."""
        return self._paused.get(trial_id)

    def promote(self, trial_id: str) -> None:
        """Record that a paused trial goes on."""
        del self._paused[trial_id]
        self._sampler.go_on(trial_id)

    def end(self, trial_id: str) -> None:
        """Record the end of a trial."""
        self._epochs.pop(trial_id, None)
        self._paused.pop(trial_id, None)

    def _reason_to_pause(self, trial_id: str, newest: float) -> str | None:
        gain = self._gain(trial_id)
        if gain >= _SHARE * newest:
            return None
        return (
            f"at epoch {self._epochs[trial_id]} an epoch was expected to gain {gain:.2g} of "
            f"hypervolume, one of a new trial {newest:.2g}"
        )

    def _gain(self, trial_id: str) -> float:
        """Return what an epoch of a trial is expected to gain."""
        (gain,) = self._sampler.gains_of([trial_id])
        return gain / self._num_left(trial_id)

    def _gains_of_paused(self) -> list[tuple[float, str]]:
        """Return what an epoch of each paused trial is expected to gain, with its id."""
        gains = self._sampler.gains_of(list(self._paused))
        pairs = zip(gains, self._paused, strict=True)
        return [(gain / self._num_left(trial_id), trial_id) for gain, trial_id in pairs]

    def _num_left(self, trial_id: str) -> int:
        return self._last_epoch - self._epochs[trial_id]
