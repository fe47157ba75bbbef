from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tests.records.make_log import START, make_log, make_report, make_spec
from tunebox.records.flat_settings import flat_settings
from tunebox.records.training_run import record_training


@pytest.mark.parametrize(("interrupted", "status"), [(False, "FINISHED"), (True, "KILLED")])
def test_a_training_is_one_run(
    tmp_path: Path, make_store: Callable[[Path], str], interrupted: bool, status: str
) -> None:
    folder = tmp_path / "trained-1"
    folder.mkdir()
    (folder / "card.md").write_text("# Card\n", encoding="utf-8")
    config = make_spec().trial_config(make_log().trials["t000"].settings)
    uri = make_store(tmp_path / "out")
    run_id = record_training(
        folder,
        [make_report(epoch, epoch / 400, 0.5) for epoch in range(1, 401)],
        tracking_uri=uri,
        out=tmp_path / "out",
        params=flat_settings(config.model_dump()),
        start_time=START,
        interrupted=interrupted,
    )
    client = MlflowClient(tracking_uri=uri)
    run = client.get_run(run_id)
    assert run.info.status == status
    assert run.info.start_time == START * 1000
    assert run.data.params["model/kind"] == "mlp"
    assert run.data.tags["tunebox.kind"] == "training"
    history = client.get_metric_history(run_id, "clean_accuracy")
    assert [(m.step, m.value) for m in history] == [(e, e / 400) for e in range(1, 401)]
    assert [a.path for a in client.list_artifacts(run_id, "trained-1")] == ["trained-1/card.md"]
