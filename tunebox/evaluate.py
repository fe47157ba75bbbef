"""``tunebox evaluate``: an exported model on the test part, which nothing before has read."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunebox.errors import RecordsError
from tunebox.records.evaluation import record_evaluation, write_evaluation
from tunebox.records.model_folder import TRIAL_FILE, load_model
from tunebox.records.tracking import public_uri, resolve_tracking_uri
from tunebox.spec.load import load_spec
from tunebox.spec.search_spec import default_out

if TYPE_CHECKING:
    from tunebox.training.robustness import RobustnessReport


@dataclass(frozen=True)
class EvaluateResult:
    """What was measured and where it is written."""

    report: "RobustnessReport"
    files: list[Path]
    tracking_uri: str
    warnings: list[str]


def evaluate(
    folder: str | Path, *, seed: int = 0, out: str | None = None, tracking_uri: str | None = None
) -> EvaluateResult:
    """Measure the exported model in ``folder`` on the test part of its data.

    Args:
        folder: As `tunebox.export` or `tunebox train` writes it; the table and the picture
            go into it.
        seed: Of the perturbations.
        out: The folder of all searches.
        tracking_uri: As in `tunebox.search`.

    Raises:
        TuneboxError: Something that a person can put right.
    """
    folder = Path(folder)
    folder_of_all = Path(out or default_out())
    uri = resolve_tracking_uri(tracking_uri, folder_of_all)
    model = load_model(folder)
    config = load_spec(str(folder / TRIAL_FILE)).trial_config({})

    import torch

    from tunebox.data.parts import load_test_part
    from tunebox.training.robustness import evaluate_robustness

    test = load_test_part(config.data)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    report = evaluate_robustness(
        model, test, seed=seed, device=device, evaluation=config.evaluation
    )
    files = write_evaluation(folder, report.rows)
    summary = report.curvature
    extra = {
        "curvature/mean": summary.mean,
        "curvature/median": summary.median,
        "curvature/quantile_05": summary.quantile_05,
        "curvature/quantile_95": summary.quantile_95,
    }
    warnings = []
    try:
        record_evaluation(
            folder, report.rows, tracking_uri=uri, out=folder_of_all, seed=seed, extra=extra
        )
    except RecordsError as error:  # what was measured is in the files
        warnings.append(f"{error}; the files have all")
    return EvaluateResult(report, files, public_uri(uri), warnings)
