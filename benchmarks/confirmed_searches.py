"""What ``tunebox confirm`` is worth on real searches: their trials trained again, many times.

    python -m benchmarks.confirmed_searches [SPACE] [--searches 10] [--truth-seeds 8]

Each search has a random seed of its own and runs in this process; ``tunebox confirm`` follows with
its defaults. Then all trials that either of them could have named are trained with further seeds,
which neither has seen: the mean over these is the truth. Printed, on the validation set:

- by how much the front's values are better than the true ones, before and after, in points;
- how many members of the search's front stay on the confirmed one;
- how often the method that is named best by the search's table, and by confirm, is the one that
  the truth names: the method whose trials dominate the largest hypervolume.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import tunebox
from benchmarks.recordings import table_line
from tunebox.decisions.confirm import MOST_SEEDS, Candidate, collect, new_seed
from tunebox.decisions.confirmed import Confirmed
from tunebox.decisions.method import SearchMethod, Verdict
from tunebox.decisions.state import SearchState
from tunebox.decisions.trials import TrialLog, non_finite_metric
from tunebox.engine.drive import drive
from tunebox.engine.in_process import InProcessExecutor
from tunebox.pareto.hypervolume import hypervolume
from tunebox.pareto.objectives import FloatArray
from tunebox.reports.methods import branch_path, method_of
from tunebox.spec.load import load_spec
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.seeded import seed_path, seeded_spec
from tunebox.spec.space import Values
from tunebox.verbs.confirmation import ConfirmResult

TRUTH_SEED = 987_654_321  # the seeds of the truth are derived from it, those of confirm are not


@dataclass(frozen=True)
class Outcome:
    """One search: optimism in points, members of the front, and the methods named best."""

    before: FloatArray  # (D,)
    after: FloatArray  # (D,)
    num_front: int
    num_stay: int
    by_table: str
    by_confirm: str
    by_truth: str


class FixedSeeds(SearchMethod):
    """Trains each candidate with the same number of seeds, to the end."""

    def __init__(self, candidates: Sequence[Candidate], num_seeds: int, max_epochs: int) -> None:
        self.rungs = (max_epochs,)
        self._planned = [
            candidate.with_seed(new_seed(TRUTH_SEED, candidate.trial_id, number))
            for number in range(num_seeds)
            for candidate in candidates
        ]
        self._num_taken = 0

    @property
    def num_trainings(self) -> int:
        return len(self._planned)

    def suggest(self, trial_id: str) -> Values | None:
        del trial_id
        left = self._num_taken < len(self._planned)
        return self._planned[self._num_taken] if left else None

    def adopt(self, trial_id: str, values: Values) -> None:
        del trial_id, values
        self._num_taken += 1

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> Verdict:
        del trial_id, epoch
        return Verdict.CONTINUE if non_finite_metric(metrics) is None else Verdict.STOP

    def end(self, trial_id: str, failed: bool) -> None:
        del trial_id, failed


def main() -> None:
    arguments = parse_arguments()
    outcomes = []
    for seed in range(arguments.first, arguments.first + arguments.searches):
        out = Path(tempfile.mkdtemp())
        try:
            outcomes.append(run(arguments.space, seed, arguments.truth_seeds, out))
        finally:
            shutil.rmtree(out)
        print(f"search with seed {seed}: {outcomes[-1]}", flush=True)
    print_outcomes(load_spec(arguments.space).objective_set.names, outcomes)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("space", nargs="?", default="digits", help="search file")
    parser.add_argument("--searches", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="random seed of the first search")
    parser.add_argument("--truth-seeds", type=int, default=8, help="of each trial")
    return parser.parse_args()


def run(space: str, seed: int, truth_seeds: int, out: Path) -> Outcome:
    tunebox.search(space, name="s", seed=seed, out=str(out), address="none")
    result = tunebox.confirm("s", out=out, address="none")
    spec = load_spec(str(out / "s" / "search.yaml"))
    truth = true_costs(spec, result, truth_seeds, out)
    return judge(result, truth)


def true_costs(
    spec: SearchSpec, result: ConfirmResult, num_seeds: int, out: Path
) -> dict[str, FloatArray]:
    """Return the mean costs over new seeds of all trials that the search or confirm may name."""
    last = spec.search.max_epochs
    settings = {"min_epochs": last, "sampler": "qmc", "address": "none", "out": str(out)}
    again = seeded_spec(spec, num_seeds=MOST_SEEDS, question="truth", search=settings)
    named = {trial.trial_id for trial in result.confirmed.trials}
    candidates = [
        Candidate(trial.trial_id, trial.settings, seed_path(again.space, trial.settings), {}, True)
        for trial in result.log.trials.values()
        if trial.trial_id in named
    ]
    method = FixedSeeds(candidates, num_seeds, last)
    log = TrialLog(result.log.objectives)
    search = again.search.model_copy(update={"trials": method.num_trainings})
    state = SearchState(log, method, search, again.space)
    folder = out / "truth"
    (folder / "checkpoints").mkdir(parents=True)
    outcome = drive(state, InProcessExecutor(again, method.rungs, folder), [])
    if outcome.trouble is not None:
        raise SystemExit(outcome.traceback or outcome.trouble)
    found = collect(candidates, log)
    return {
        candidate.trial_id: retrained.costs.mean(axis=0)
        for candidate, retrained in zip(candidates, found, strict=True)
    }


def judge(result: ConfirmResult, truth: Mapping[str, FloatArray]) -> Outcome:
    log, confirmed = result.log, result.confirmed
    objectives = log.objectives
    printed = [trial for trial in log.front() if trial.trial_id in truth]
    front = confirmed.front
    means = {
        trial.trial_id: objectives.costs({n: e.value for n, e in trial.means.items()})
        for trial in confirmed.trials
    }
    searched = {
        t.trial_id: objectives.costs(t.last_metrics)
        for t in log.trials.values()
        if log.has_result(t)
    }
    return Outcome(
        before=optimism({trial.trial_id: searched[trial.trial_id] for trial in printed}, truth),
        after=optimism({trial.trial_id: means[trial.trial_id] for trial in front}, truth),
        num_front=len(printed),
        num_stay=len({t.trial_id for t in printed} & {t.trial_id for t in front}),
        by_table=best_method(log, searched),
        by_confirm=best_method(log, _guesses(confirmed, log)),
        by_truth=best_method(log, truth),
    )


def _guesses(confirmed: Confirmed, log: TrialLog) -> dict[str, FloatArray]:
    return {t.trial_id: log.objectives.costs(t.best_guesses) for t in confirmed.trials}


def optimism(values: Mapping[str, FloatArray], truth: Mapping[str, FloatArray]) -> FloatArray:
    """Return by how much the values are better than the true ones, in points."""
    gaps = np.array([truth[trial_id] - costs for trial_id, costs in values.items()])
    return np.asarray(100 * gaps.mean(axis=0))


def best_method(log: TrialLog, costs: Mapping[str, FloatArray]) -> str:
    """Return the method whose trials alone dominate the largest hypervolume."""
    branch = branch_path(log.trials.values())
    groups: dict[str, list[FloatArray]] = {}
    for trial_id, cost in costs.items():
        groups.setdefault(method_of(log.trials[trial_id], branch), []).append(cost)
    reference = log.objectives.reference_costs
    return max(groups, key=lambda group: hypervolume(np.array(groups[group]), reference))


def print_outcomes(names: Sequence[str], outcomes: Sequence[Outcome]) -> None:
    """Print means over searches with their standard errors."""
    print(table_line(["bias of the front, points", "search's own table", "confirmed"]))
    print(table_line(["---"] * 3))
    sides = [np.array([outcome.before for outcome in outcomes])]
    sides.append(np.array([outcome.after for outcome in outcomes]))
    for index, name in enumerate(names):
        cells = [
            f"{side[:, index].mean():+.2f} ± {standard_error(side[:, index]):.2f}" for side in sides
        ]
        print(table_line([name, *cells]))
    stay = sum(outcome.num_stay for outcome in outcomes)
    front = sum(outcome.num_front for outcome in outcomes)
    print(f"\n{stay} of {front} members of the searches' fronts are on the confirmed ones")
    for what in ("by_table", "by_confirm"):
        right = sum(getattr(outcome, what) == outcome.by_truth for outcome in outcomes)
        said = what.removeprefix("by_")
        print(f"the best method named by {said} is the true one in {right} of {len(outcomes)}")


def standard_error(values: FloatArray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


if __name__ == "__main__":
    main()
