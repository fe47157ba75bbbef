"""How important each setting is for reaching good values.

[Watanabe2023] S. Watanabe, A. Bansal, F. Hutter. PED-ANOVA: efficiently quantifying
    hyperparameter importance in arbitrary subspaces. IJCAI 2023.
"""

import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, create_trial

from tunebox.decisions.comparable import Comparable
from tunebox.decisions.sampler import optuna_distribution
from tunebox.pareto.objectives import Objectives
from tunebox.spec.space import Leaf, Values

MIN_TRIALS = 20
FRONT = "the front"  # the target that is no objective: which trials are the best of all objectives
_MAX_TRIALS = 300  # a sample of so many says as much, and the time grows with their square
_NUM_SHUFFLES = 19
_TOP_SHARE, _TOP_TRIALS = 0.1, 5  # PED-ANOVA compares these with all; below five it is unstable


@dataclass(frozen=True)
class Importance:
    """Importance of the settings for one target.

    Attributes:
        target: Name of an objective, or `FRONT`.
        shares: Share of each setting by its path, most important first; they sum to 1.
        chance: What each share can be without any influence: the largest of 19 in which the
            values were shuffled among the trials. One in twenty is above it by chance.
    """

    target: str
    shares: dict[str, float]
    chance: dict[str, float]

    @property
    def clear(self) -> list[str]:
        """The settings whose share is above what chance gives, most important first."""
        return [path for path, share in self.shares.items() if share > self.chance[path]]


def importances(
    objectives: Objectives, values: Comparable, leaves: Sequence[Leaf]
) -> list[Importance]:
    """Return the importance of the settings for the front and for each objective.

    PED-ANOVA [Watanabe2023] compares the distribution of a setting among the best tenth of the
    trials with that among all; for the front the best tenth is taken by non-domination and
    hypervolume. A setting of a branch counts where the branch was taken.

    Returns:
        Nothing with fewer than `MIN_TRIALS` trials or without settings.
    """
    generator = random.Random(0)
    rows = list(zip(values.trials, values.reports, strict=True))
    if len(rows) > _MAX_TRIALS:
        rows = generator.sample(rows, _MAX_TRIALS)
    if len(rows) < MIN_TRIALS or not leaves:
        return []
    settings = [trial.settings for trial, _ in rows]
    costs = [objectives.costs(report.metrics).tolist() for _, report in rows]
    shuffled = [generator.sample(costs, len(costs)) for _ in range(_NUM_SHUFFLES)]
    studies = [_study(settings, drawn, leaves) for drawn in (costs, *shuffled)]
    names = [FRONT, *objectives.names] if len(objectives) > 1 else list(objectives.names)
    return [_importance(studies, name, objectives) for name in names]


def _study(
    settings: Sequence[Values], costs: Sequence[list[float]], leaves: Sequence[Leaf]
) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {leaf.path: optuna_distribution(leaf) for leaf in leaves}
    study = optuna.create_study(directions=["minimize"] * len(costs[0]))
    study.add_trials(
        create_trial(
            params={path: values[path] for path in distributions if path in values},
            distributions={path: d for path, d in distributions.items() if path in values},
            values=costs[number],
        )
        for number, values in enumerate(settings)
    )
    return study


def _importance(studies: Sequence[optuna.Study], name: str, objectives: Objectives) -> Importance:
    found, *by_chance = [_divergences(study, name, objectives) for study in studies]
    total = sum(found.values()) or 1.0
    shares = {path: value / total for path, value in sorted(found.items(), key=lambda i: -i[1])}
    chance = {path: max(values[path] for values in by_chance) / total for path in shares}
    return Importance(name, shares, chance)


def _divergences(study: optuna.Study, name: str, objectives: Objectives) -> dict[str, float]:
    """Return by how much the best trials differ from all in each setting, >= 0."""
    num_trials = len(study.get_trials(deepcopy=False))
    evaluator = PedAnovaImportanceEvaluator(
        target_quantile=min(0.5, max(_TOP_SHARE, _TOP_TRIALS / num_trials))
    )
    target = None
    if name != FRONT and len(objectives) > 1:
        place = objectives.names.index(name)

        def target(trial: FrozenTrial) -> float:
            return float(trial.values[place])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that low targets are best, which costs are
        found = get_param_importances(study, evaluator=evaluator, target=target, normalize=False)
    return {path: float(value) for path, value in found.items()}
