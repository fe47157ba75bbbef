"""``train`` and ``evaluate`` while MLflow is away: the files are there, and a line says so."""

from pathlib import Path

import pytest

import tunebox
from tests.command_line import free_port
from tests.spec.make_spec import FIXED_FILE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_a_model_is_trained_and_evaluated_without_mlflow(tmp_path: Path) -> None:
    (tmp_path / "fixed.yaml").write_text(FIXED_FILE, encoding="utf-8")
    model, address = tmp_path / "model", f"127.0.0.1:{free_port()}"
    uri = f"http://me:secret@{address}"
    trained = tunebox.train(str(tmp_path / "fixed.yaml"), max_epochs=1, to=model, tracking_uri=uri)
    [warning] = trained.warnings
    assert warning.startswith(f"MLflow at http://{address} did not take the run model: ")
    assert (model / "model.safetensors").is_file()
    evaluated = tunebox.evaluate(model, tracking_uri=uri)
    [warning] = evaluated.warnings
    assert warning.startswith(f"MLflow at http://{address} did not take the run evaluation-model")
    assert (model / "evaluation.parquet").is_file()
    for said in (*trained.warnings, *evaluated.warnings, trained.tracking_uri):
        assert "secret" not in said
