"""How often a search, and `tunebox confirm` after it, name the method that is best with new seeds.

    python -m benchmarks.best_method [SPACE] [--searches 10] [--truth-seeds 20] [--out FOLDER]

A trial's score is the product of its clean and its noisy accuracy: the hypervolume that it
dominates alone. The best trial of a method is that with the largest score, and the best method is
that with the best trial. This is measured three times, always with the same definition:

- by the search's own table: one seed, validation set;
- by ``confirm`` with its defaults: its best guesses from new seeds, validation set;
- in truth: the mean over ``--truth-seeds`` further seeds on the test set, of each method's best
  trial by the table and by ``confirm``; the better of the two is the method's.

Printed are the share of searches in which table and ``confirm`` name the true method, and by how
many points the method that they name is worse. Each search, its confirmation and every training
are kept in ``--out``, so that a run that was killed goes on, and one with more searches uses them.
"""

from __future__ import annotations

import argparse
import functools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import tunebox
from benchmarks.kept_results import KeptResults, Result
from benchmarks.recordings import CURVES, table_line
from benchmarks.trainings import on_test, score, train
from tunebox.decisions.confirm import new_seed
from tunebox.decisions.trials import TrialLog, TrialState
from tunebox.pareto.hypervolume import hypervolume
from tunebox.pareto.objectives import FloatArray
from tunebox.records.confirmed_table import read_confirmed
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import read_log
from tunebox.reports.methods import branch_path, method_of
from tunebox.spec.load import load_spec
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Values

TRUTH_SEED = 987_654_321  # the seeds of the truth are derived from it, those of confirm are not


@dataclass(frozen=True)
class Named:
    """The best trial of each method, and the method with the best of all."""

    trials: dict[str, str]  # trial by method
    best: str


@dataclass(frozen=True)
class Outcome:
    """What a search and its confirmation name, and the true scores."""

    by_table: str
    by_confirm: str
    truth: dict[str, list[float]]  # of the best trial of each method, one for each seed
    num_finished: dict[str, int]  # trials of the search, by method

    @property
    def by_truth(self) -> str:
        return max(self.truth, key=lambda method: statistics.mean(self.truth[method]))

    @property
    def lead(self) -> float:
        """The lead of the true best method over the next one, in standard errors."""
        best = np.array(self.truth[self.by_truth])
        others = [np.array(self.truth[m]) for m in self.truth if m != self.by_truth]
        if not others:
            return math.inf
        second = max(others, key=np.mean)
        error = math.sqrt((best.var(ddof=1) + second.var(ddof=1)) / len(best))
        return float((best.mean() - second.mean()) / max(error, 1e-12))

    def loss(self, method: str) -> float:
        """Return by how many points of the score a method is worse than the true best one."""
        means = {name: statistics.mean(scores) for name, scores in self.truth.items()}
        return 100 * (max(means.values()) - means[method])


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    outcomes = []
    for seed in range(arguments.searches):
        folder = searched(arguments, seed)
        outcomes.append(judge(arguments, seed, folder))
        print_outcome(seed, outcomes[-1])
    print_outcomes(outcomes)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    space = str(CURVES / "fashion_mnist_small.yaml")
    parser.add_argument("space", nargs="?", default=space, help="search file")
    parser.add_argument("--searches", type=int, default=10, help="with random seeds 0, 1, ..")
    parser.add_argument("--trials", type=int, default=64, help="of each search")
    parser.add_argument("--max-epochs", type=int, help="instead of the file's")
    parser.add_argument("--truth-seeds", type=int, default=20, help="of each method's best trial")
    parser.add_argument("--test-images", type=int, help="taken evenly; all without it")
    parser.add_argument("--out", type=Path, default=Path("best_method"))
    return parser.parse_args()


def searched(arguments: argparse.Namespace, seed: int) -> SearchFolder:
    """Run a search and confirm it, or go on where an earlier call was killed."""
    name, out = f"seed{seed}", str(arguments.out)
    folder = SearchFolder(arguments.out / name)
    if folder.search_file.is_file():
        if not folder.confirmed.is_file():
            tunebox.search(resume=True, name=name, out=out, address="none")
    else:
        tunebox.search(
            arguments.space,
            name=name,
            out=out,
            seed=seed,
            trials=arguments.trials,
            max_epochs=arguments.max_epochs,
            address="none",
        )
    tunebox.confirm(name, out=out, address="none")
    return folder


def judge(arguments: argparse.Namespace, seed: int, folder: SearchFolder) -> Outcome:
    """Return what the search in ``folder`` and its confirmation name, beside the truth."""
    spec, log = load_spec(str(folder.search_file)), read_log(folder)
    confirmed = read_confirmed(folder)
    assert confirmed is not None
    by_table = named(log, table_costs(log))
    by_confirm = named(
        log, {t.trial_id: log.objectives.costs(t.best_guesses) for t in confirmed.trials}
    )
    setup = {"seed": seed, "test_images": arguments.test_images}
    kept = KeptResults(folder.root / "truth.jsonl", setup)
    scores: dict[str, list[float]] = {}
    for trial_id in dict.fromkeys([*by_table.trials.values(), *by_confirm.trials.values()]):
        scores[trial_id] = []
        for number in range(arguments.truth_seeds):
            compute = functools.partial(
                train_again, spec, log.trials[trial_id].settings, trial_id, number, setup
            )
            scores[trial_id].append(kept.get(f"{trial_id}/{number}", compute)["score"])
    truth = true_scores([by_table, by_confirm], scores)
    return Outcome(by_table.best, by_confirm.best, truth, num_finished(log))


def named(log: TrialLog, costs: Mapping[str, FloatArray]) -> Named:
    """Return the best trial of each method, and the best method, by the costs of trials."""
    branch, reference = branch_path(log.trials.values()), log.objectives.reference_costs
    best: dict[str, tuple[float, str]] = {}
    for trial_id, cost in costs.items():
        method = method_of(log.trials[trial_id], branch)
        score = hypervolume(cost[None], reference)
        if score > best.get(method, (-1.0, ""))[0]:
            best[method] = score, trial_id
    trials = {method: trial_id for method, (_, trial_id) in best.items()}
    return Named(trials, max(best, key=lambda method: best[method][0]))


def table_costs(log: TrialLog) -> dict[str, FloatArray]:
    """Return the costs of the trials that finished."""
    return {
        trial.trial_id: log.objectives.costs(trial.last_metrics)
        for trial in log.trials.values()
        if trial.state is TrialState.FINISHED
    }


def num_finished(log: TrialLog) -> dict[str, int]:
    """Return how many trials of each method finished."""
    branch = branch_path(log.trials.values())
    finished = [method_of(log.trials[trial_id], branch) for trial_id in table_costs(log)]
    return {method: finished.count(method) for method in dict.fromkeys(finished)}


def train_again(
    spec: SearchSpec, values: Values, trial_id: str, number: int, setup: Mapping[str, Any]
) -> Result:
    """Train a trial with a further seed, and return its result on the test set."""
    config = spec.trial_config(values)
    seed = new_seed(TRUTH_SEED + setup["seed"], trial_id, number)
    trained = train(config, seed=seed, max_epochs=spec.search.max_epochs)
    accuracies = on_test(trained, config, setup["test_images"])
    return {"score": score(trained, accuracies), **accuracies}


def true_scores(
    namings: Sequence[Named], scores: Mapping[str, Sequence[float]]
) -> dict[str, list[float]]:
    """Return for each method the scores of the better one of the trials that are named for it."""
    found: dict[str, list[float]] = {}
    for naming in namings:
        for method, trial_id in naming.trials.items():
            candidates = [list(scores[trial_id]), *([found[method]] if method in found else [])]
            found[method] = max(candidates, key=statistics.mean)
    return found


def print_outcome(seed: int, outcome: Outcome) -> None:
    finished = ", ".join(f"{n} {method}" for method, n in outcome.num_finished.items())
    truth = ", ".join(
        f"{method} {100 * statistics.mean(scores):.2f}" for method, scores in outcome.truth.items()
    )
    print(f"search {seed}: finished {finished}")
    print(
        f"  named by table {outcome.by_table}, by confirm {outcome.by_confirm}, "
        f"in truth {outcome.by_truth} ({outcome.lead:.1f} standard errors ahead)"
    )
    print(f"  true scores: {truth}", flush=True)


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    print()
    print(table_line(["named by", "is the true best method", "loss of its score, points"]))
    print(table_line(["---"] * 3))
    for said in ("table", "confirm"):
        methods = [getattr(outcome, f"by_{said}") for outcome in outcomes]
        right = sum(m == o.by_truth for m, o in zip(methods, outcomes, strict=True))
        losses = [o.loss(m) for m, o in zip(methods, outcomes, strict=True)]
        cells = [said, f"{right} of {len(outcomes)}", f"{statistics.mean(losses):.2f}"]
        print(table_line(cells))
    clear = sum(outcome.lead > 2 for outcome in outcomes)
    print(f"\nthe true best method is more than 2 standard errors ahead in {clear} searches")


if __name__ == "__main__":
    main()
