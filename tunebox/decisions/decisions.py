"""The two decisions of a search, as pure functions of what was reported: no Ray, no clock."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tunebox.decisions.method import SearchMethod, Verdict
from tunebox.decisions.own_sampler import OwnSampler
from tunebox.decisions.points import PointSampler
from tunebox.decisions.sampler import RungSampler
from tunebox.decisions.samplers import Sampler
from tunebox.decisions.trials import TrialRecord, is_lost
from tunebox.pareto.constraints import Constraints, total_violation
from tunebox.pareto.objectives import Objectives
from tunebox.pareto.rungs import Ladder
from tunebox.parts.code import CodeFinder, is_reference
from tunebox.spec.search_settings import SearchSettings
from tunebox.spec.space import Space, Values

if TYPE_CHECKING:
    from tunebox.decisions.gp_sampler import GpSampler
    from tunebox.decisions.model_scheduler import ModelScheduler

_NO_CONSTRAINTS = Constraints()


class Decisions(SearchMethod):
    """Decides what to try next and which trials go on.

    The same reports in the same order give the same decisions.
    """

    def __init__(
        self,
        space: Space,
        objectives: Objectives,
        search: SearchSettings,
        constraints: Constraints = _NO_CONSTRAINTS,
        start: Sequence[Values] = (),
        code: CodeFinder | None = None,
    ) -> None:
        """Start without any trial.

        Args:
            space: What is searched.
            objectives: What is optimised.
            search: Settings of the search.
            constraints: Bounds on the front.
            start: Settings to try first, complete or partial.
            code: Finds a sampler of the user's own.
        """
        self._objectives = objectives
        self._constraints = constraints
        self._start = tuple(start)
        self._num_trials = 0
        self._model: GpSampler | None = None
        self._scheduler: ModelScheduler | None = None
        self._max_epochs = search.max_epochs
        self._ladder = Ladder(
            search.first_rung, search.max_epochs, search.reduction_factor, search.front_rule
        )
        self.rungs = (*self._ladder.epochs, search.max_epochs)
        self._sampler: Sampler
        if is_reference(search.sampler):
            suggest = (code or CodeFinder()).find(search.sampler)
            self._sampler = OwnSampler(suggest, space, search.seed)
        elif search.sampler in ("random", "qmc"):
            self._sampler = PointSampler(search.sampler, space, search.seed)
        elif search.sampler == "gp":
            self._use_model(space, search)
        else:
            self._sampler = RungSampler(
                space,
                self.rungs,
                objectives.reference_costs,
                search.seed,
                name=search.sampler,
                num_bounds=constraints.num_bounds,
            )

    def _use_model(self, space: Space, search: SearchSettings) -> None:
        from tunebox.decisions import gp_sampler, model_scheduler  # SciPy is slow to import

        is_scheduler = search.scheduler == "model"
        self._sampler = self._model = sampler = gp_sampler.GpSampler(
            space,
            self.rungs,
            self._objectives.reference_costs,
            search.seed,
            num_bounds=self._constraints.num_bounds,
            first_trials=(model_scheduler if is_scheduler else gp_sampler).FIRST_TRIALS,
        )
        if is_scheduler:
            self._scheduler = model_scheduler.ModelScheduler(
                self._ladder, sampler, search.max_epochs, search.max_paused
            )
            self.rungs = sampler.modelled_epochs

    def suggest(self, trial_id: str) -> Values:
        """Return settings for the next trial; they count once it is adopted.

        They depend on the seed, on how many trials there were, and on what these reported.
        """
        given = self._start[self._num_trials] if self._num_trials < len(self._start) else {}
        return self._sampler.ask(trial_id, given)

    def expected_gain(self, values: Values) -> float | None:
        """Return the hypervolume that a full training is expected to add, None without a model."""
        if self._model is None or not self._model.is_modelled:
            return None
        return self._model.gain_of_new(values)

    def adopt(self, trial_id: str, values: Values) -> None:
        """Record the next trial with its settings."""
        self._num_trials += 1
        if self._scheduler is not None:
            self._scheduler.adopt(values)
        self._sampler.adopt(trial_id, values)

    def learn(self, trial: TrialRecord) -> None:
        """Pass a trial of an earlier search to the sampler, with its settings in this search.

        It has no influence at the rungs: there the trials of this search are compared with each
        other only.
        """
        reports = {
            report.epoch: (
                self._objectives.costs(report.metrics),
                self._constraints.violations(report.metrics),
            )
            for report in trial.history
            if not is_lost(report.metrics)
        }
        self._sampler.learn(trial.settings, reports, trial.state)

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> Verdict:
        """Return whether the trial goes on after ``epoch``; a rung stops it, or it goes on.

        Raises:
            MissingObjectiveError: The report lacks an objective or a constrained metric.
        """
        costs = self._objectives.costs(metrics)
        violations = self._constraints.violations(metrics)
        if is_lost(metrics):
            return Verdict.STOP
        if self._scheduler is not None:
            return self._scheduler.report(trial_id, epoch, costs, violations)
        self._sampler.tell(trial_id, epoch, costs, violations)
        goes_on = self._ladder.report(trial_id, epoch, costs, total_violation(violations))
        return Verdict.CONTINUE if goes_on and epoch < self._max_epochs else Verdict.STOP

    def end(self, trial_id: str, failed: bool) -> None:
        """Record the end of a trial; ``failed`` if it failed or diverged."""
        self._sampler.end(trial_id, failed)
        if self._scheduler is not None:
            self._scheduler.end(trial_id)

    def choose_paused(self) -> str | None:
        """Return the paused trial that goes on, None to start a new one."""
        return None if self._scheduler is None else self._scheduler.choose_paused()

    def choose_superfluous(self) -> str | None:
        """Return a paused trial that is to end, as there are too many."""
        return None if self._scheduler is None else self._scheduler.choose_superfluous()

    def why_stopped(self, trial_id: str) -> str | None:
        """Return why a trial was stopped, where a model decided it."""
        return None if self._scheduler is None else self._scheduler.why_stopped(trial_id)

    def promote(self, trial_id: str) -> None:
        """Record that a paused trial goes on."""
        if self._scheduler is not None:
            self._scheduler.promote(trial_id)
