"""A small search with branches, and trials of it whose results are known without training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tunebox.decisions.decisions import Decisions
from tunebox.decisions.method import Verdict
from tunebox.spec.load import spec_from_source
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Values
from tunebox.spec.yaml_source import parse_yaml

SEARCH_FILE = """\
# Where is the front?
data: {kind: digits}
model: {kind: mlp, width: {log_int_uniform: [4, 64]}, depth: {int_uniform: [1, 3]}}
losses:
  choice:
    clean_only: {cross_entropy: {on: clean}}
    noisy_only:
      cross_entropy: {on: noisy}
      noise: {kind: gaussian, std: {uniform: [0, 1]}}
    stability:
      cross_entropy: {on: clean}
      stability: {weight: {log_uniform: [1e-3, 10]}}
      noise: {kind: gaussian, std: {uniform: [0, 1]}}
optimizer: {kind: sgd, lr: {log_uniform: [1e-4, 1]}, momentum: {choice: [0.5, 0.9]}}
evaluation: {noise: {kind: gaussian, std: 0.5}}
search: {trials: 60, min_epochs: 1, max_epochs: 9, reduction_factor: 3, seed: 0}
"""


def make_spec(seed: int = 0) -> SearchSpec:
    return spec_from_source(parse_yaml(SEARCH_FILE, "made.yaml"), {"seed": seed})


def make_decisions(spec: SearchSpec) -> Decisions:
    return Decisions(spec.space, spec.objective_set, spec.search)


def new_trial(decisions: Decisions, trial_id: str) -> Values:
    """Settings for the next trial, which is then one of the search."""
    values = decisions.suggest(trial_id)
    decisions.adopt(trial_id, values)
    return values


def metrics_at(values: Values, epoch: int) -> dict[str, float]:
    """Accuracies that trade off along the noise, best at a learning rate of 0.03.

    They grow with the epochs, and the order of the trials is almost the same at each.
    """
    lr, std = float(values["optimizer/lr"] or 0), 0.0
    loss, bonus = str(values["losses"]), 0.0
    if loss != "clean_only":
        std = float(values[f"losses/{loss}/noise/std"] or 0)
    if loss == "stability":
        weight = float(values["losses/stability/stability/weight"] or 0)
        bonus = 0.15 * math.exp(-(math.log10(weight) ** 2))
    learned = 1 - math.exp(-epoch / 3)
    fit = math.exp(-(math.log10(lr / 0.03) ** 2)) * (
        1 - 0.1 * abs(float(values["model/depth"] or 0) - 2)
    )
    clean = learned * fit * (1 - 0.5 * std**2)
    noisy = learned * fit * (0.3 + 0.5 * math.sqrt(std) + bonus)
    return {"clean_accuracy": clean, "noisy_accuracy": noisy, "train_loss": 1 - clean}


@dataclass
class Simulation:
    """What a search with one worker would see: trials one after the other."""

    decisions: Decisions
    max_epochs: int
    settings: list[Values] = field(default_factory=list)
    results: list[dict[str, float]] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)

    @property
    def epochs_spent(self) -> int:
        return sum(self.epochs)

    def run_trial(self) -> None:
        trial_id = f"{len(self.settings):04d}"
        values = new_trial(self.decisions, trial_id)
        epoch, verdict = 0, Verdict.CONTINUE
        while verdict is Verdict.CONTINUE:
            epoch += 1
            metrics = metrics_at(values, epoch)
            verdict = self.decisions.report(trial_id, epoch, metrics)
        self.decisions.end(trial_id, failed=False)
        self.settings.append(values)
        self.results.append(metrics)
        self.epochs.append(epoch)
