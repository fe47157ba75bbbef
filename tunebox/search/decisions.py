"""The two decisions of a search, as pure functions of what was reported: no Ray, no clock."""

from collections.abc import Mapping

from tunebox.pareto.objectives import Objectives
from tunebox.pareto.rungs import Ladder
from tunebox.search.sampler import RungSampler
from tunebox.spec.search_spec import SearchSettings
from tunebox.spec.space import Space, Values
from tunebox.trials import non_finite_metric


class Decisions:
    """What to try next, and who goes on. The same reports in the same order decide the same."""

    def __init__(self, space: Space, objectives: Objectives, search: SearchSettings) -> None:
        self._objectives = objectives
        self._max_epochs = search.max_epochs
        self._ladder = Ladder(search.first_rung, search.max_epochs, search.reduction_factor)
        self._sampler = RungSampler(
            space,
            (*self._ladder.epochs, search.max_epochs),
            objectives.reference_costs,
            search.seed,
        )

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs at which a trial may end unless it fails, the last one included; ascending."""
        return tuple(sorted({*self._ladder.epochs, self._max_epochs}))

    def adopt(self, trial_id: str, values: Values) -> None:
        """Take in a trial of an earlier run of the search, as if it had been suggested now."""
        self._sampler.adopt(trial_id, values)

    def suggest(self, trial_id: str) -> Values:
        """Return the settings of the next trial."""
        return self._sampler.ask(trial_id)

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Return whether the trial goes on after ``epoch``.

        Raises:
            MissingObjectiveError: The report lacks an objective.
        """
        costs = self._objectives.costs(metrics)
        if non_finite_metric(metrics) is not None:
            return False
        self._sampler.tell(trial_id, epoch, costs)
        return self._ladder.report(trial_id, epoch, costs) and epoch < self._max_epochs

    def end(self, trial_id: str, failed: bool) -> None:
        """Take in that a trial reports no more; ``failed`` if it failed or diverged."""
        self._sampler.end(trial_id, failed)
