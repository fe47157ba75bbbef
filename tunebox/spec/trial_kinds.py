"""The two kinds of trial: a classifier that tunebox trains, and a user-defined training loop.

A search file has the second kind if it has the key ``trial``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeAlias

from tunebox.parts.code import CodeFinder, is_reference, references_in
from tunebox.spec.own_trial import OwnTrialConfig
from tunebox.spec.search_settings import SearchSettings
from tunebox.spec.trial_config import TrialConfig

AnyTrialConfig: TypeAlias = TrialConfig | OwnTrialConfig


class TrialKind(ABC):
    """The differences between the kinds of trial in a search file.

    Attributes:
        same_for_all: Groups of settings that are the same in all trials.
        names_metrics: Whether the user names the metrics, so that they are in no catalogue.
    """

    same_for_all: ClassVar[tuple[str, ...]]
    names_metrics: ClassVar[bool]

    @abstractmethod
    def config(self, settings: Mapping[str, Any], code: CodeFinder) -> AnyTrialConfig:
        """Return the checked settings of a trial.

        Raises:
            pydantic.ValidationError: The settings are invalid.
        """

    @abstractmethod
    def references(self, tree: Mapping[str, Any]) -> Iterable[str]:
        """Return the references to user code in a search file."""

    @abstractmethod
    def seeded(self, tree: Mapping[str, Any], seed: Any) -> dict[str, Any]:
        """Return the file ``tree`` with the random seed ``seed``, a number or a distribution."""

    def check_search(self, search: SearchSettings) -> None:
        """Raise ValueError for a search setting that this kind of trial does not support."""
        return


class ClassifierTrials(TrialKind):
    """Robust classifiers, built from the parts in a search file."""

    same_for_all = ("data", "evaluation")
    names_metrics = False

    def config(self, settings: Mapping[str, Any], code: CodeFinder) -> TrialConfig:
        """Return the checked settings of a trial."""
        return TrialConfig.model_validate(settings, context=code)

    def references(self, tree: Mapping[str, Any]) -> Iterable[str]:
        """Return the references of its parts."""
        return references_in(tree)

    def seeded(self, tree: Mapping[str, Any], seed: Any) -> dict[str, Any]:
        """Return ``tree`` with ``training/seed``."""
        return {**tree, "training": with_seed(tree.get("training", {}), seed)}


class OwnTrials(TrialKind):
    """User-defined training loops."""

    same_for_all = ("trial",)
    names_metrics = True

    def config(self, settings: Mapping[str, Any], code: CodeFinder) -> OwnTrialConfig:
        """Return the checked settings of a trial."""
        return OwnTrialConfig.model_validate(settings, context=code)

    def references(self, tree: Mapping[str, Any]) -> Iterable[str]:
        """Return the reference of the loop; ``config`` is not searched for references."""
        return [tree["trial"]] if is_reference(tree["trial"]) else []

    def seeded(self, tree: Mapping[str, Any], seed: Any) -> dict[str, Any]:
        """Return ``tree`` with ``search/seed``."""
        return {**tree, "search": {**tree.get("search", {}), "seed": seed}}

    def check_search(self, search: SearchSettings) -> None:
        """Refuse ``gpus_per_trial: auto`` and ``repeats``, which need tunebox's own training."""
        if search.gpus_per_trial == "auto":
            raise ValueError(
                "--gpus-per-trial auto: measures the images per second of tunebox's own training; "
                "give a number for a loop of your own"
            )
        if search.repeats:
            raise ValueError(
                "--repeats: a loop of your own cannot be given another seed; leave it out"
            )


def trial_kind(tree: Mapping[str, Any]) -> TrialKind:
    """Return the kind of trial in the search file or trial file ``tree``."""
    return OwnTrials() if "trial" in tree else ClassifierTrials()


def with_seed(training: dict[str, Any], seed: Any) -> dict[str, Any]:
    """Return the settings ``training`` with ``seed`` set, in each branch if there are some."""
    if set(training) == {"choice"}:
        branches = training["choice"].items()
        return {"choice": {branch: with_seed(tree or {}, seed) for branch, tree in branches}}
    return {**training, "seed": seed}
