"""A problem with a formula for a truth."""

from __future__ import annotations

import numpy as np

from benchmarks.problems import Problem, Training
from tunebox.pareto.objectives import FloatArray, Objective, Objectives
from tunebox.spec.space import Space, Values
from tunebox.spec.yaml_source import parse_yaml

SPACE = """\
x: {uniform: [0.0, 1.0]}
way:
  choice:
    low: {y: {uniform: [0.0, 0.5]}}
    high: {y: {uniform: [0.5, 1.0]}}
"""


class MadeProblem(Problem):
    """Costs x and 1 - x + (y - 0.7)^2, both higher in earlier epochs.

    The front is that of y = 0.7, which one branch has: the line from (0, 1) to (1, 0). The reports
    of a training are off by a number that depends on its generator.
    """

    name = "made"
    max_epochs = 4
    best_hypervolume = 0.5  # below the line, up to the reference (1, 1)

    def __init__(self, noise: float = 0.0) -> None:
        source = parse_yaml(SPACE, "made.yaml")
        self.space = Space(source.data, source)
        self.objectives = Objectives([Objective("a", False, 1.0), Objective("b", False, 1.0)])
        self.noise = noise
        self.has_noise = noise > 0

    def true_costs(self, values: list[Values], epochs: list[int]) -> FloatArray:
        ends = []
        for one in values:
            x, y = float(one["x"] or 0), float(one[f"way/{one['way']}/y"] or 0)
            ends.append([x, 1 - x + (y - 0.7) ** 2])
        late = 0.1 * (self.max_epochs - np.array(epochs))
        return np.asarray(np.array(ends)[:, None] + late[:, None])

    def train(self, values: Values, generator: np.random.Generator) -> Training:
        true = self.true_costs([values], list(range(1, self.max_epochs + 1)))[0]
        noise = self.noise * generator.standard_normal(2)
        return Training(true, true + noise, np.arange(1.0, self.max_epochs + 1))
