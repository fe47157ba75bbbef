"""Problems of tunebox's own kind: smooth models of recorded searches, with branches and noise.

The learning curves of a recording go through a principal component analysis, on the scale of
logits, and a Gaussian process over the settings predicts each component. What it predicts is the
truth of the problem: every setting has an answer of its own. Each training moves its reports by
the noise between seeds that was measured for such trainings: a standard deviation of 0.6 points of
clean and 0.7 of noisy accuracy, with a correlation of 0.4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.problems import Problem, Training
from benchmarks.recordings import load_recording
from benchmarks.true_front import find_truth
from tunebox.decisions.cube import Cube
from tunebox.decisions.curve_model import NEW, CurveModel, Places, fit
from tunebox.decisions.trials import TrialRecord
from tunebox.engine.recorded import Recording
from tunebox.pareto.objectives import FloatArray, Objectives
from tunebox.spec.space import Space, Values

NAMES = ("clean_accuracy", "noisy_accuracy")
NOISE = np.array([[0.6**2, 0.4 * 0.6 * 0.7], [0.4 * 0.6 * 0.7, 0.7**2]]) / 100**2
NUM_COMPONENTS = 6
MOST_TRIALS = 600  # that a model is fitted to
HELD_OUT = 0.2


@dataclass(frozen=True)
class CurvesModel:
    """Accuracies of every setting and epoch."""

    cube: Cube
    mean: FloatArray  # (E * 2,), logits
    components: FloatArray  # (K, E * 2), with the scale of each
    models: list[CurveModel]

    @classmethod
    def of(cls, space: Space, trials: list[TrialRecord]) -> CurvesModel:
        """Fit a model to trials with curves of the same length."""
        cube = Cube(space)
        places = _places(cube, [trial.settings for trial in trials], known=True)
        logits = _logits(_curves(trials)).reshape(len(trials), -1)
        mean = logits.mean(axis=0)
        left, values, components = np.linalg.svd(logits - mean, full_matrices=False)
        scores = left[:, :NUM_COMPONENTS] * np.sqrt(len(trials))
        models = [CurveModel(fit(places, column), places, column) for column in scores.T]
        scale = values[:NUM_COMPONENTS, None] / np.sqrt(len(trials))
        return cls(cube, mean, components[:NUM_COMPONENTS] * scale, models)

    def accuracies(self, values: list[Values]) -> FloatArray:
        """Return accuracies ``(N, E, 2)``."""
        places = _places(self.cube, values)
        scores = np.stack([model.mean(places) for model in self.models], axis=1)
        logits = self.mean + scores @ self.components
        return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float64).reshape(len(values), -1, 2)


class SmoothProblem(Problem):
    """A smooth model of a recording.

    Attributes:
        fit_of_held_out: Share of the variance of each objective's last values, among trials that
            the model was not fitted to, which the model explains.
    """

    has_noise = True

    def __init__(self, name: str, space: Space, recording: Recording, **evolution: int) -> None:
        """Fit the model and find its true front, with options of `find_truth`."""
        self.name = name
        self.space = space
        self.max_epochs = recording.max_epochs
        trials = [t for t in recording.trials if len(t.history) == self.max_epochs]
        trials = [t for t in trials if np.isfinite(_curves([t])).all()][:MOST_TRIALS]
        self.fit_of_held_out = _fit_of_held_out(space, trials)
        self._model = CurvesModel.of(space, trials)
        self._seconds = np.array([[r.metrics["train_seconds"] for r in t.history] for t in trials])
        truth = find_truth(self, **evolution)
        self.best_hypervolume = truth.hypervolume
        self.objectives = Objectives(
            [
                replace(objective, reference=float(-cost))
                for objective, cost in zip(recording.objectives, truth.reference, strict=True)
            ]
        )

    def true_costs(self, values: list[Values], epochs: list[int]) -> FloatArray:
        return -self._model.accuracies(values)[:, np.array(epochs) - 1]

    def train(self, values: Values, generator: np.random.Generator) -> Training:
        true = self.true_costs([values], list(range(1, self.max_epochs + 1)))[0]
        moved = true + generator.multivariate_normal(np.zeros(2), NOISE)
        seconds = np.median(self._seconds, axis=0) * generator.uniform(0.8, 1.2)
        return Training(true, np.clip(moved, -1.0, 0.0), seconds)


def smooth_problem(folder: Path) -> SmoothProblem:
    """Return the smooth model of a recording in ``folder``."""
    spec, recording = load_recording(folder)
    return SmoothProblem(f"{folder.name}, smooth model", spec.space, recording)


def _fit_of_held_out(space: Space, trials: list[TrialRecord]) -> tuple[float, float]:
    order = np.random.default_rng(0).permutation(len(trials))
    num_held = max(1, round(HELD_OUT * len(trials)))
    held, kept = ([trials[n] for n in part] for part in (order[:num_held], order[num_held:]))
    found = CurvesModel.of(space, kept).accuracies([trial.settings for trial in held])[:, -1]
    true = _curves(held)[:, -1]
    unexplained = ((found - true) ** 2).mean(axis=0) / true.var(axis=0)
    return float(1 - unexplained[0]), float(1 - unexplained[1])


def _places(cube: Cube, values: list[Values], *, known: bool = False) -> Places:
    features = cube.features(np.stack([cube.quantiles(one) for one in values]))
    trials = np.arange(len(values)) if known else np.full(len(values), NEW)
    return Places(features, np.ones(len(values)), trials)


def _curves(trials: list[TrialRecord]) -> FloatArray:
    """Return recorded accuracies ``(N, E, 2)``."""
    return np.array([[[r.metrics[name] for name in NAMES] for r in t.history] for t in trials])


def _logits(accuracies: FloatArray) -> FloatArray:
    inside = np.clip(accuracies, 0.002, 0.998)
    return np.asarray(np.log(inside / (1 - inside)), dtype=np.float64)
