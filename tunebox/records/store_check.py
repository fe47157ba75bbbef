"""Whether MLflow's store can be reached."""

from pathlib import Path

from tunebox.records.tracking import public_reason, responsive_client


def store_trouble(uri: str) -> str | None:
    """Return why MLflow's store at ``uri`` does not answer, without credentials; None: it does.

    An SQLite file that is not there yet is made by the first search.
    """
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        return None
    from mlflow.tracking import MlflowClient

    with responsive_client():
        try:
            MlflowClient(tracking_uri=uri).search_experiments(max_results=1)
        except Exception as error:  # MLflow, HTTP and databases have classes of their own
            return public_reason(error, uri)
    return None
