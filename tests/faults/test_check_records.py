"""The checker of the records finds what is wrong, and nothing in a search that went well."""

import pytest
from mlflow.tracking import MlflowClient

from tests.conftest import RealSearch
from tests.faults.check_records import check_records


@pytest.mark.slow
def test_nothing_is_wrong_with_a_search_that_went_well(real_search: RealSearch) -> None:
    check_records(real_search.folder.root, real_search.tracking_uri)


def double_a_step(client: MlflowClient, run_id: str) -> None:
    client.log_metric(run_id, "clean_accuracy", 0.5, step=1)


def add_a_step(client: MlflowClient, run_id: str) -> None:
    client.log_metric(run_id, "clean_accuracy", 0.5, step=99)


def tag_it(client: MlflowClient, run_id: str) -> None:
    had_it = "tunebox.pareto" in client.get_run(run_id).data.tags
    (client.delete_tag if had_it else lambda *key: client.set_tag(*key, "true"))(
        run_id, "tunebox.pareto"
    )


def delete_it(client: MlflowClient, run_id: str) -> None:
    client.delete_run(run_id)


def run_it_again(client: MlflowClient, run_id: str) -> None:
    run = client.get_run(run_id)
    client.create_run(run.info.experiment_id, tags=run.data.tags)
