"""Problems of LCBench, answered by the surrogate of YAHPO Gym: 7 settings, 52 epochs.

The files ``model.onnx`` and ``encoding.json`` are those of the folder ``lcbench`` of YAHPO Gym's
data, https://github.com/slds-lmu/yahpo_data (Apache-2.0). They are no part of this project.

The surrogate is a neural network that was fitted to recorded trainings [Pfisterer2022,
Zimmer2021]: it extrapolates, and its settings have no branches.

[Pfisterer2022] F. Pfisterer, L. Schneider, J. Moosbauer, M. Binder, B. Bischl. YAHPO Gym: an
    efficient multi-objective multi-fidelity benchmark for hyperparameter optimization. AutoML 2022.
[Zimmer2021] L. Zimmer, M. Lindauer, F. Hutter. Auto-PyTorch Tabular: multi-fidelity metalearning
    for efficient and robust AutoDL. IEEE TPAMI 43(9), 2021.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.problems import Problem, Training
from tunebox.pareto.objectives import FloatArray, Objective, Objectives
from tunebox.spec.space import Space, Values
from tunebox.spec.yaml_source import parse_yaml

SPACE = """\
batch_size: {log_int_uniform: [16, 512]}
learning_rate: {log_uniform: [1.0e-4, 0.1]}
momentum: {uniform: [0.1, 0.99]}
weight_decay: {uniform: [1.0e-5, 0.1]}
num_layers: {int_uniform: [1, 5]}
max_units: {log_int_uniform: [64, 1024]}
max_dropout: {uniform: [0.0, 1.0]}
"""
OUTPUTS = (
    *("time", "val_accuracy", "val_cross_entropy", "val_balanced_accuracy"),
    *("test_cross_entropy", "test_balanced_accuracy"),
)
BOTH = ("val_accuracy", "val_cross_entropy")


@dataclass(frozen=True)
class Known:
    """What defines a problem, and what is known of its truth.

    The reference values are the medians of 20,000 random settings at the last epoch, so that half
    of all settings count nothing. The hypervolume is that of a front found by evolution from these
    settings, 60 generations of 3000, with the reports of all epochs; a search may find a little
    more.
    """

    parts: tuple[tuple[str, str], ...]  # task and output of each objective
    references: tuple[float, float]
    hypervolume: float
    noise: tuple[float, float] = (0.0, 0.0)  # standard deviations


def _one_task(task: str, references: tuple[float, float], hypervolume: float) -> Known:
    return Known(tuple((task, output) for output in BOTH), references, hypervolume)


def _pair(first: str, second: str, references: tuple[float, float], hypervolume: float) -> Known:
    return Known(tuple((task, BOTH[0]) for task in (first, second)), references, hypervolume)


_PAIRS = {
    "pairA": _pair("167104", "189908", (82.9315, 81.0776), 196.031),
    "pairB": _pair("167181", "167152", (73.6461, 77.0571), 405.158),
    "pairC": _pair("146212", "126026", (90.678, 93.2217), 54.515),
}
PROBLEMS = {
    "167152": _one_task("167152", (77.0571, 1.1682), 23.4333),
    "167185": _one_task("167185", (38.1459, 1.95865), 110.161),
    "189873": _one_task("189873", (0.659155, 5.67869), 554.86),
    **_PAIRS,
    "pairA with noise": replace(_PAIRS["pairA"], noise=(0.7, 0.7)),
    "pairC with noise": replace(_PAIRS["pairC"], noise=(0.5, 0.3)),
}


class LcBench(Problem):
    """One or two tasks; with noise, each report of each training has its own."""

    max_epochs = 52

    def __init__(self, name: str, folder: Path) -> None:
        """Take problem ``name``, with the surrogate in ``folder``."""
        known = PROBLEMS[name]
        self.name = name
        self._folder = folder
        self._parts = known.parts
        self._noise = np.array(known.noise)
        self.has_noise = bool(self._noise.any())
        source = parse_yaml(SPACE, "lcbench.yaml")
        self.space = Space(source.data, source)
        codes = json.loads((folder / "encoding.json").read_text(encoding="utf-8"))
        self._codes = [int(codes["OpenML_task_id"][task]) for task, _ in self._parts]
        self.best_hypervolume = known.hypervolume
        self.objectives = Objectives(
            [
                Objective(f"{output}_{task}", "accuracy" in output, reference)
                for (task, output), reference in zip(known.parts, known.references, strict=True)
            ]
        )

    def true_costs(self, values: list[Values], epochs: list[int]) -> FloatArray:
        costs = []
        for code, (_, output) in zip(self._codes, self._parts, strict=True):
            answers = self._answers(code, values, epochs)[:, :, OUTPUTS.index(output)]
            costs.append(-answers if "accuracy" in output else answers)
        return np.stack(costs, axis=-1)

    def train(self, values: Values, generator: np.random.Generator) -> Training:
        epochs = list(range(1, self.max_epochs + 1))
        true = self.true_costs([values], epochs)[0]
        seconds = self._answers(self._codes[0], [values], epochs)[0, :, OUTPUTS.index("time")]
        reported = true + self._noise * generator.standard_normal(true.shape)
        return Training(true, reported, np.maximum.accumulate(np.maximum(seconds, 1e-3)))

    def _answers(self, code: int, values: list[Values], epochs: list[int]) -> FloatArray:
        """Return all outputs of a task, ``(N, len(epochs), 6)``."""
        paths = [leaf.path for leaf in self.space.leaves]
        settings = np.array([[float(one[path] or 0) for path in paths] for one in values])
        rows = np.repeat(settings, len(epochs), axis=0)
        numbers = np.concatenate([np.tile(epochs, len(values))[:, None], rows], axis=1)
        inputs = {
            "x_cat": np.full((len(numbers), 1), code, dtype=np.int32),
            "x_cont": numbers.astype(np.float32),
        }
        [outputs] = _session(self._folder / "model.onnx").run(None, inputs)
        return np.asarray(outputs, dtype=np.float64).reshape(len(values), len(epochs), -1)


@functools.lru_cache(maxsize=1)
def _session(file: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(file), options)
