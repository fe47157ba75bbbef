"""Logs made by hand for the tests: shuffled, with every state and settings of every kind."""

import random

from tunebox.decisions.trials import Report, TrialLog, TrialRecord, TrialState
from tunebox.pareto.objectives import Objective, Objectives
from tunebox.spec.load import spec_from_source
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Leaf, Range, Scalar
from tunebox.spec.yaml_source import parse_yaml

SEARCH_FILE = """\
# Does it keep | what it is told?
data: {kind: digits}
model: {kind: mlp, width: {choice: [16, 32]}, depth: {int_uniform: [1, 3]}, feature_dim: 4}
losses:
  choice:
    clean_only: {cross_entropy: {on: clean}}
    noisy:
      cross_entropy: {on: noisy}
      noise: {kind: gaussian, std: {uniform: [0.1, 0.5]}, clamp: {choice: [true, false]}}
optimizer: {kind: sgd, lr: {log_uniform: [0.01, 0.3]}, momentum: {choice: [0.5, 0.9]}}
training: {precision: {choice: [auto, float32]}, seed: {choice: [null, 7]}}
evaluation: {noise: {kind: gaussian, std: 0.3}}
search: {trials: 20, max_epochs: 9, seed: 3}
"""

CLEAN = Objective("clean_accuracy", maximize=True, reference=0.0)
NOISY = Objective("noisy_accuracy", maximize=True, reference=0.1)
LOSS = Objective("train_loss", maximize=False, reference=3.0)
OBJECTIVES = Objectives([CLEAN, NOISY])
START = 1_700_000_000.0


def make_spec() -> SearchSpec:
    return spec_from_source(parse_yaml(SEARCH_FILE, "made.yaml"))


def make_report(epoch: int, clean: float, noisy: float, loss: float = 1.0) -> Report:
    metrics = {"clean_accuracy": clean, "noisy_accuracy": noisy, "train_loss": loss}
    return Report(epoch, {**metrics, "train_seconds": 2.5 * epoch}, START + epoch)


def make_trial(trial_id: str, clean: float, noisy: float, *, epochs: int = 1) -> TrialRecord:
    """A finished trial that ends at these accuracies."""
    trial = TrialRecord(trial_id, {}, START, TrialState.FINISHED, end_time=START + 100)
    trial.history = [make_report(e, clean * e / epochs, noisy) for e in range(1, epochs + 1)]
    return trial


def make_log(num_trials: int = 20, seed: int = 0, objectives: Objectives = OBJECTIVES) -> TrialLog:
    """Trials in every state with random settings of `make_spec`, in no order of quality."""
    generator = random.Random(seed)
    spec = make_spec()
    log = TrialLog(objectives)
    states = list(TrialState)
    for number in range(num_trials):
        trial = TrialRecord(
            f"t{number:03d}",
            spec.space.draw(lambda leaf: _pick(generator, leaf)),
            START + number + 0.25,
        )
        trial.state = states[number % len(states)]
        for epoch in range(1, generator.randint(1, 9) + 1):
            clean, noisy, loss = (generator.random() for _ in range(3))
            trial.history.append(make_report(epoch, clean, noisy, loss))
        if trial.state is not TrialState.RUNNING:
            trial.end_time = trial.start_time + 50.5
            trial.node = generator.choice(["node-a", "node-b"])
            trial.checkpoint = f"checkpoints/{trial.trial_id}/000009.pt"
        log.trials[trial.trial_id] = trial
    return log


def _pick(generator: random.Random, leaf: Leaf) -> Scalar:
    distribution = leaf.distribution
    if not isinstance(distribution, Range):
        return generator.choice(distribution.options)
    if distribution.integer:
        return generator.randint(int(distribution.low), int(distribution.high))
    return generator.uniform(distribution.low, distribution.high)
