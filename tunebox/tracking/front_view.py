"""A saved view of MLflow's page of runs: the trials on the fronts, with the objectives as columns.

MLflow's page takes columns from no address, but from a view that is saved as a tag of the
experiment, which an address can name. The tag and its content are those that the page itself
writes when a person saves a view (MLflow 3.17); a page that does not know them shows all runs.
"""

import json
from typing import TYPE_CHECKING

from tunebox import clock
from tunebox.tracking.stores import VIEW, front_filter

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_TAG = f"mlflow.sharedViewState.{VIEW}"
_TITLE = "Fronts of all searches"
_MOST_SEARCHES = 100  # the newest, whose objectives are columns
_MOST_COLUMNS = 8
_OBJECTIVE, _DIRECTION = "objectives/", "/direction"


def save_front_view(client: "MlflowClient", experiment_id: str) -> None:
    """Save the view in the experiment of all searches; what was saved before is replaced."""
    objectives = _objectives(client, experiment_id)
    columns = [f"metrics.`{name}`" for name in objectives[:_MOST_COLUMNS]]
    state = {
        "searchFilter": front_filter,
        # sorted by its default, the time, the page puts the trials away under their search
        "orderByKey": columns[0],
        "orderByAsc": False,
        "selectedColumns": [*columns, "attributes.`Models`"],
    }
    now = round(clock.now() * 1000)
    view = {"name": _TITLE, "createdAt": now, "updatedAt": now, "state": json.dumps(state)}
    client.set_experiment_tag(experiment_id, _TAG, json.dumps(view))


def _objectives(client: "MlflowClient", experiment_id: str) -> list[str]:
    """Return the objectives of the searches, those of the newest first."""
    searches = client.search_runs(
        [experiment_id], "tags.`tunebox.kind` = 'search'", max_results=_MOST_SEARCHES
    )
    found = [
        name.removeprefix(_OBJECTIVE).removesuffix(_DIRECTION)
        for run in searches
        for name in sorted(run.data.params)
        if name.startswith(_OBJECTIVE) and name.endswith(_DIRECTION)
    ]
    return list(dict.fromkeys(found)) or ["clean_accuracy", "noisy_accuracy"]
