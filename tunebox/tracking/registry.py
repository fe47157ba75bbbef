"""Trials as versions of a registered model in MLflow."""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunebox.decisions.confirmed import Confirmed, ConfirmedTrial
from tunebox.decisions.trials import TrialRecord
from tunebox.errors import RecordsError
from tunebox.records.search_folder import SearchFolder
from tunebox.spec.search_spec import SearchSpec
from tunebox.text import shell_command
from tunebox.tracking import values
from tunebox.tracking.cursor import Cursor
from tunebox.tracking.reasons import public_reason
from tunebox.tracking.runs import MODEL_TAG, ModelSource
from tunebox.tracking.stores import public_uri, responsive_client

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

    from tunebox.tracking.client import SearchStore

_MOST_DESCRIPTION = 5000  # characters, of a database that counts them
_NOT_IN_ALIASES = re.compile(r"[^A-Za-z0-9_]+")


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model."""

    name: str
    version: str
    alias: str | None
    trial_id: str

    @property
    def uri(self) -> str:
        """The address for MLflow's functions and commands."""
        place = f"/{self.version}" if self.alias is None else f"@{self.alias}"
        return f"models:/{self.name}{place}"


def alias_of(pick: str, ids: Sequence[str]) -> str | None:
    """Return the alias for what a pick names: ``knee``, ``best-clean_accuracy``, ..

    Args:
        pick: As `pick_trials` takes it.
        ids: The ids of the trials that it names.

    Returns:
        None if the pick is the id of a trial, or all.
    """
    if pick in ids or pick == "all":
        return None
    return _NOT_IN_ALIASES.sub("-", pick).strip("-")


def register_trials(
    folder: SearchFolder,
    spec: SearchSpec,
    trials: Sequence[TrialRecord],
    name: str,
    *,
    pick: str,
    alias: str | None,
    uri: str,
    confirmed: Confirmed | None = None,
) -> list[RegisteredVersion]:
    """Make each trial a version of the registered model ``name``, which is made when absent.

    The version is that of the trial's logged model, which is sent first if MLflow lacks it. A trial
    that is a version already stays the same version.

    Args:
        folder: Folder of the search.
        spec: Its settings.
        trials: Trials with weights.
        name: Name of the registered model.
        pick: What names the trials, for a tag.
        alias: Alias of the version of the last of them; None gives none.
        uri: Address of MLflow.
        confirmed: What new seeds say of the search: tags of the versions, and part of the card.

    Raises:
        RecordsError: MLflow does not take it, or a trial has no run there, or no weights.
    """
    for trial in trials:
        if trial.checkpoint is None:
            raise RecordsError(
                f"trial {trial.trial_id} has no weights, which a search keeps for its front; pick "
                "a trial of the front"
            )
    with _one_line(uri, name):
        from tunebox.tracking.client import SearchStore

        cursor = Cursor(folder, public_uri(uri))
        if not cursor.search_id:
            raise RecordsError(_not_there(folder, None))
        registrar = _Registrar(SearchStore(uri, folder.root.parent, cursor), folder, spec, name)
        return [
            registrar.register(
                trial, pick, alias, None if confirmed is None else confirmed.trial(trial.trial_id)
            )
            for trial in trials
        ]


class _Registrar:
    """Makes versions of one registered model."""

    def __init__(
        self, store: "SearchStore", folder: SearchFolder, spec: SearchSpec, name: str
    ) -> None:
        self._store = store
        self._client = store.client
        self._folder = folder
        self._spec = spec
        self._name = name

    def register(
        self, trial: TrialRecord, pick: str, alias: str | None, confirmed: ConfirmedTrial | None
    ) -> RegisteredVersion:
        """Return the version that is the trial, made when it is not there."""
        run_id = self._store.find_run(trial.trial_id)
        if run_id is None:
            raise RecordsError(_not_there(self._folder, trial.trial_id))
        assert trial.checkpoint is not None
        source = ModelSource(self._folder, self._spec, trial, trial.checkpoint, confirmed)
        model, card = self._store.models.send(run_id, source, self._store.parent_id)
        self._client.set_tag(run_id, MODEL_TAG, source.mark)
        self._make_model()
        # not models:/<id>, which a database looks up in the store that is set globally
        version = self._version_of(run_id, model) or self._client.create_model_version(
            self._name, model.artifact_location, run_id, model_id=model.model_id
        )
        self._client.update_model_version(self._name, version.version, _description(card))
        tags = self._tags(trial, pick) | ({} if confirmed is None else _confirmed_tags(confirmed))
        for key, value in tags.items():
            self._client.set_model_version_tag(self._name, version.version, key, value)
        if alias is not None:
            self._client.set_registered_model_alias(self._name, alias, version.version)
        return RegisteredVersion(self._name, str(version.version), alias, trial.trial_id)

    def _make_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(self._name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _version_of(self, run_id: str, model: "LoggedModel") -> "ModelVersion | None":
        found = self._client.search_model_versions(f"run_id = '{run_id}'")
        wanted = (self._name, model.artifact_location)  # databases keep no id of a logged model
        own = [one for one in found if (one.name, one.source) == wanted]
        return own[0] if own else None

    def _tags(self, trial: TrialRecord, pick: str) -> dict[str, str]:
        reached = {
            values.key(name): f"{trial.last_metrics[name]:.6g}"
            for name in self._spec.objectives
            if name in trial.last_metrics
        }
        return {
            "tunebox.search": self._folder.name,
            "tunebox.trial_id": trial.trial_id,
            "tunebox.pick": pick,
            **reached,
        }


def _confirmed_tags(confirmed: ConfirmedTrial) -> dict[str, str]:
    """Return the means over new seeds, and half the widths of their 95 % intervals."""
    tags = {"tunebox.new_seeds": str(confirmed.num_seeds)}
    for part, means in (("", confirmed.means), ("test/", confirmed.test_means)):
        for name, mean in means.items():
            key = values.key(f"confirmed/{part}{name}")
            tags[key] = f"{mean.value:.6g}"
            if math.isfinite(mean.half_width):
                tags[f"{key}/half_width"] = f"{mean.half_width:.3g}"
    return tags


def _description(card: str) -> str:
    """Return a card without its head, as far as there is room."""
    return values.cut(card.split("---\n", 2)[-1].lstrip(), _MOST_DESCRIPTION)


@contextmanager
def _one_line(uri: str, name: str) -> Iterator[None]:
    """Turn what MLflow raises into one line."""
    from mlflow.exceptions import MlflowException

    try:
        with responsive_client():
            yield
    except (MlflowException, OSError) as error:
        reason = public_reason(error, uri)
        raise RecordsError(
            f"MLflow at {public_uri(uri)} did not register {name}: {reason}"
        ) from error


def _not_there(folder: SearchFolder, trial_id: str | None) -> str:
    what = "the search" if trial_id is None else f"trial {trial_id}"
    again = shell_command("tunebox", "sync", folder.name)
    return f"{what} has no run in MLflow; send what it lacks with: {again}"
