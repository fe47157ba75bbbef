"""What MLflow has been told of a search, or will be: so that nothing is told twice."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tunebox.records.mlflow_operations import (
    Discard,
    EndTrial,
    LogMetrics,
    Operation,
    Reopen,
    SetTags,
    StartSearch,
    StartTrial,
)
from tunebox.records.tracking import CHECKPOINT_TAG, PARETO_TAG, STATE_TAG
from tunebox.spec.space import Scalar
from tunebox.trials import TrialState


@dataclass
class ToldTrial:
    """What is told of one trial."""

    params: Mapping[str, Scalar]
    steps: set[int] = field(default_factory=set)  # epochs
    state: str = TrialState.RUNNING.value


@dataclass
class Told:
    """What is told of a search, whether MLflow has it yet or not."""

    started: bool = False
    trials: dict[str, ToldTrial] = field(default_factory=dict)
    front: dict[str, str | None] = field(default_factory=dict)  # and the checkpoint of each
    search_step: int = -1  # of the last metrics of the search
    search_metrics: Mapping[str, float] = field(default_factory=dict)

    def hear(self, operation: Operation) -> None:
        """Take note of one more operation."""
        match operation:
            case StartSearch():
                self.started = True
            case StartTrial(trial_id, params):
                self.trials[trial_id] = ToldTrial(params)
            case LogMetrics(None, metrics, step):
                self.search_step, self.search_metrics = step, metrics
            case LogMetrics(str(trial_id), _, step) if trial_id in self.trials:
                self.trials[trial_id].steps.add(step)
            case SetTags(str(trial_id), tags) if PARETO_TAG in tags:
                self.front.pop(trial_id, None)
                if tags[PARETO_TAG] is not None:
                    self.front[trial_id] = tags.get(CHECKPOINT_TAG)
            case EndTrial(trial_id) | Reopen(str(trial_id)) if trial_id in self.trials:
                self.trials[trial_id].state = operation.tags[STATE_TAG]
            case Discard(trial_id):
                self.trials.pop(trial_id, None)
                self.front.pop(trial_id, None)
