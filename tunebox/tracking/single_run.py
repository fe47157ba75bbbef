"""One MLflow run that is no part of a search, written at once by a verb that waits for it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunebox import clock
from tunebox.decisions.trials import Report
from tunebox.errors import RecordsError
from tunebox.records.evaluation_table import EvaluationRow
from tunebox.records.model_folder import origin_of
from tunebox.records.model_json import Origin
from tunebox.records.provenance import provenance_tags
from tunebox.tracking.reasons import public_reason
from tunebox.tracking.runs import RunState, Update
from tunebox.tracking.stores import public_uri, responsive_client


def origin_tags(origin: Origin) -> dict[str, str]:
    """Return the tags of a run that belongs to a search, and to a trial of it."""
    named = {"tunebox.search": origin.search, "tunebox.trial_id": origin.trial}
    return {tag: name for tag, name in named.items() if name is not None}


def write_single_run(
    tracking_uri: str, out: Path, run: RunState, description: Mapping[str, Any] | None = None
) -> str:
    """Write ``run``, with all its points, into the experiment of all searches; return its id.

    Args:
        tracking_uri: Address of MLflow's store.
        out: The folder of all searches; artifacts go there when the store is a database.
        run: What is written; it ends now.
        description: ``model.json`` of the model, whose data are the input of the run.

    Raises:
        RecordsError: MLflow did not take it.
    """
    from mlflow.exceptions import MlflowException

    update = Update(
        params=run.params,
        points=tuple(run.sent_points),
        files=run.files,
        status=(run.status, clock.now()),
    )
    try:
        with responsive_client():
            from tunebox.tracking.client import Store

            store = Store(tracking_uri, out)
            run_id = store.create(run, {}).run_id
            store.send(run_id, update)
            if description is not None:
                store.log_data(run_id, description)
    except (MlflowException, OSError) as error:
        reason = public_reason(error, tracking_uri)
        raise RecordsError(
            f"MLflow at {public_uri(tracking_uri)} did not take the run {run.name}: {reason}"
        ) from error
    return run_id


def record_evaluation(
    folder: Path,
    rows: Sequence[EvaluationRow],
    files: Sequence[Path],
    *,
    tracking_uri: str,
    out: Path,
    seed: int,
    extra: Mapping[str, float] | None = None,
) -> str:
    """Write an evaluation as one MLflow run; return the run's id.

    Args:
        folder: The model folder.
        rows: One for each perturbation.
        files: Kept with the run.
        tracking_uri: Address of MLflow's store.
        out: The folder of all searches.
        seed: Random seed of the perturbations.
        extra: Further metrics, such as ``curvature/mean``.

    Raises:
        RecordsError: MLflow did not take it.
    """
    metrics = {f"test/{name}": value for name, value in (extra or {}).items()}
    for row in rows:
        path = f"test/{row.perturbation}"
        if row.strength_name != "none":
            path += f"/{row.strength:.6g}"
        metrics[f"{path}/accuracy"] = row.accuracy
        if row.loss is not None:
            metrics[f"{path}/loss"] = row.loss
    name, now = folder.resolve().name, clock.now()
    tags = {"tunebox.kind": "evaluation", "tunebox.trial_id": name}
    tags |= {**origin_tags(origin_of(folder)), **provenance_tags()}
    run = RunState(
        name=f"evaluation-{name}",
        params={"seed": seed, "part": "test"},
        tags=tags,
        start_time=now,
        points=[Report(0, metrics, now)],
        num_points=1,
        status="FINISHED",
        files=tuple(files),
    )
    return write_single_run(tracking_uri, out, run)
