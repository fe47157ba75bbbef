"""``tunebox evaluate``: measure an exported model on the test part, which no search reads."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunebox.errors import DataError, RecordsError
from tunebox.records.evaluation_table import write_evaluation_table
from tunebox.records.model_folder import exported_spec, load_classifier, origin_of
from tunebox.records.search_folder import SearchFolder
from tunebox.records.test_looks import add_look, describe_looks, read_looks
from tunebox.reports.evaluation_picture import write_evaluation_picture
from tunebox.spec.search_settings import default_out
from tunebox.tracking.single_run import record_evaluation
from tunebox.tracking.stores import public_uri, resolve_tracking_uri

if TYPE_CHECKING:
    from tunebox.data.image_set import ImageSet
    from tunebox.data.settings import DataSettings
    from tunebox.models.trained import ModelFormat
    from tunebox.training.robustness import RobustnessReport


@dataclass(frozen=True)
class EvaluateResult:
    """The measurements, and the paths of the files with them."""

    report: "RobustnessReport"
    files: list[Path]
    tracking_uri: str
    warnings: list[str]


def evaluate(
    folder: str | Path,
    *,
    seed: int = 0,
    trust_code: bool = False,
    out: str | Path | None = None,
    tracking_uri: str | None = None,
) -> EvaluateResult:
    """Measure the exported model in ``folder`` on the test part of its data.

    Args:
        folder: Exported model, as `tunebox.export` or `tunebox.train` writes it; the table and
            the picture go into it.
        seed: Random seed of the perturbations.
        trust_code: Whether code of the user's own that came with the model may run.
        out: Output folder of all searches.
        tracking_uri: Address of MLflow, as in `tunebox.search`.

    Raises:
        TuneboxError: A mistake that the user can correct.
    """
    folder = Path(folder)
    folder_of_all = Path(out or default_out())
    uri = resolve_tracking_uri(tracking_uri, folder_of_all)
    model, format = load_classifier(folder, trust_code=trust_code)
    config = exported_spec(folder, trust_code=trust_code).trial_config({})

    import torch

    from tunebox.training.robustness import evaluate_robustness

    test, warnings = load_test_images(config.data, format)
    warnings = [*_count_look(folder, folder_of_all), *warnings]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    report = evaluate_robustness(
        model, test, seed=seed, device=device, evaluation=config.evaluation
    )
    files = [
        write_evaluation_table(folder, report.rows),
        write_evaluation_picture(folder, report.rows),
    ]
    try:
        record_evaluation(
            folder,
            report.rows,
            files,
            tracking_uri=uri,
            out=folder_of_all,
            seed=seed,
            extra={f"curvature/{name}": value for name, value in asdict(report.curvature).items()},
        )
    except RecordsError as error:  # the measurements are in the files
        warnings.append(f"{error}; the files have all")
    return EvaluateResult(report, files, public_uri(uri), warnings)


def _count_look(model: Path, out: Path) -> list[str]:
    """Count the look at the test part in the folder of the model's search, if it is in ``out``.

    Returns:
        A line if the part has been seen before.
    """
    name = origin_of(model).search
    search = None if name is None else SearchFolder(out / name)
    if name is None or search is None or not search.search_file.is_file():
        return []
    line = describe_looks(name, read_looks(search))
    add_look(search, "evaluate")
    return [] if line is None else [line]


def load_test_images(data: "DataSettings", format: "ModelFormat") -> tuple["ImageSet", list[str]]:
    """Return the test part as a model takes it, its classes matched by name.

    Args:
        data: Settings of the data that the model was trained on.
        format: What the model takes.

    Returns:
        The images, and a line for each thing that is odd.

    Raises:
        DataError: The data are missing or damaged, or the model cannot judge them.
    """
    from tunebox.data.match_classes import match_classes
    from tunebox.data.parts import load_test_part

    test = load_test_part(data.for_channels(format.channels))
    if test.image_shape != format.image_shape:
        given, taken = ("x".join(map(str, one)) for one in (test.image_shape, format.image_shape))
        raise DataError(
            f"the test images are {given} (channels, height, width), the model takes {taken}; give "
            "it images like those that it was trained on"
        )
    return match_classes(test, format.num_classes, format.class_names)
