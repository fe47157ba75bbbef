"""The two decisions of a search, as pure functions of what was reported: no Ray, no clock."""

from collections.abc import Mapping, Sequence

from tunebox.pareto.constraints import Constraints, total_violation
from tunebox.pareto.objectives import Objectives
from tunebox.pareto.rungs import Ladder
from tunebox.search.points import PointSampler
from tunebox.search.sampler import RungSampler
from tunebox.search.samplers import Sampler
from tunebox.spec.search_spec import SearchSettings
from tunebox.spec.space import Space, Values
from tunebox.trials import TrialRecord, non_finite_metric

_NO_CONSTRAINTS = Constraints()


class Decisions:
    """What to try next, and who goes on. The same reports in the same order decide the same."""

    def __init__(
        self,
        space: Space,
        objectives: Objectives,
        search: SearchSettings,
        constraints: Constraints = _NO_CONSTRAINTS,
        start: Sequence[Values] = (),
    ) -> None:
        """Start with nothing known; ``start`` has settings to try first, whole or in part."""
        self._objectives = objectives
        self._constraints = constraints
        self._start = tuple(start)
        self._num_trials = 0
        self._max_epochs = search.max_epochs
        self._ladder = Ladder(
            search.first_rung, search.max_epochs, search.reduction_factor, search.front_rule
        )
        self._sampler: Sampler
        if search.sampler in ("random", "qmc"):
            self._sampler = PointSampler(search.sampler, space, search.seed)
        else:
            self._sampler = RungSampler(
                space,
                self.rungs,
                objectives.reference_costs,
                search.seed,
                name=search.sampler,
                num_bounds=constraints.num_bounds,
            )

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs at which a trial may end unless it fails, the last one included; ascending."""
        return (*self._ladder.epochs, self._max_epochs)

    def suggest(self, trial_id: str) -> Values:
        """Return the settings of the next trial.

        They depend on the seed, on how many trials there were, and on what these reported.
        """
        given = self._start[self._num_trials] if self._num_trials < len(self._start) else {}
        self._num_trials += 1
        return self._sampler.ask(trial_id, given)

    def adopt(self, trial_id: str, values: Values) -> None:
        """Take in a trial of an earlier run of the search, as if it had been suggested now."""
        self._num_trials += 1
        self._sampler.adopt(trial_id, values)

    def learn(self, trial: TrialRecord) -> None:
        """Tell the sampler of a trial of an earlier search, with the settings it has in this one.

        It judges none of this search's trials: at a rung they are compared with each other only.
        """
        reports = {
            report.epoch: (
                self._objectives.costs(report.metrics),
                self._constraints.excesses(report.metrics),
            )
            for report in trial.history
            if non_finite_metric(report.metrics) is None
        }
        self._sampler.learn(trial.settings, reports, trial.state)

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Return whether the trial goes on after ``epoch``.

        Raises:
            MissingObjectiveError: The report lacks an objective or a constrained metric.
        """
        costs = self._objectives.costs(metrics)
        excesses = self._constraints.excesses(metrics)
        if non_finite_metric(metrics) is not None:
            return False
        self._sampler.tell(trial_id, epoch, costs, excesses)
        goes_on = self._ladder.report(trial_id, epoch, costs, total_violation(excesses))
        return goes_on and epoch < self._max_epochs

    def end(self, trial_id: str, failed: bool) -> None:
        """Take in that a trial reports no more; ``failed`` if it failed or diverged."""
        self._sampler.end(trial_id, failed)
