"""``tunebox evaluate``: measure an exported model on the test set, which no search reads."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tunebox.errors import DataError, RecordsError
from tunebox.metrics.catalogue import EXTRA_PARTS
from tunebox.records.evaluation_table import (
    StoredRow,
    read_evaluation_table,
    write_evaluation_table,
)
from tunebox.records.files import write_text
from tunebox.records.model_folder import exported_spec, load_classifier, origin_of
from tunebox.records.search_folder import SearchFolder
from tunebox.records.test_looks import add_look, describe_looks, read_looks
from tunebox.reports.evaluation_picture import write_evaluation_picture
from tunebox.spec.search_settings import default_out
from tunebox.text import shell_command
from tunebox.tracking.single_run import record_evaluation
from tunebox.tracking.stores import public_uri, resolve_tracking_uri

if TYPE_CHECKING:
    from tunebox.data.settings import DataSettings
    from tunebox.data.stored_set import AnyImageSet
    from tunebox.models.trained import ModelFormat
    from tunebox.training.robustness import RobustnessReport


BY_CLASS_FILE = "accuracy_by_class.json"  # class names to accuracies on clean test images


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
    include: Sequence[str] = (),
    corruption_files: str | Path | None = None,
    images: int = 200,
    samples: int = 1000,
    reference: str | Path | None = None,
) -> EvaluateResult:
    """Measure the exported model in ``folder`` on the test set of its data.

    Args:
        folder: Exported model, as `tunebox.export` or `tunebox.train` writes it; the table and
            the picture go into it.
        seed: Random seed of the perturbations.
        trust_code: Whether code of the user's own that came with the model may run.
        out: Output folder of all searches.
        tracking_uri: Address of MLflow, as in `tunebox.search`.
        include: Additional measurements, any of ``corruptions``, ``attacks``, ``certified``,
            ``correct_times``, ``membership``, or ``all`` of them.
        corruption_files: Folder of corrupted test images in the layout of CIFAR-10-C.
        images: Number of test images for attacks and for certificates.
        samples: Noisy copies of each image for its certificate.
        reference: Folder of another model that was evaluated with ``corruptions``: the errors are
            divided by its errors too.

    Raises:
        TuneboxError: A mistake that the user can correct.
    """
    folder = Path(folder)
    parts = _parts(include, images=images, samples=samples)
    reference_rows = None if reference is None else _reference_rows(Path(reference), parts)
    folder_of_all = Path(out or default_out())
    uri = resolve_tracking_uri(tracking_uri, folder_of_all)
    model, format = load_classifier(folder, trust_code=trust_code)
    config = exported_spec(folder, trust_code=trust_code).trial_config({})

    import torch

    from tunebox.training.corruption_rows import normalized_errors
    from tunebox.training.robustness import Extras, evaluate_robustness

    test, warnings = load_test_images(config.data, format)
    warnings = [*_count_look(folder, folder_of_all), *warnings]
    members = load_members(config.data, format) if "membership" in parts else None
    device = "cuda" if torch.cuda.is_available() else "cpu"
    files_of_corruptions = None if corruption_files is None else Path(corruption_files)
    report = evaluate_robustness(
        model,
        test,
        seed=seed,
        device=device,
        evaluation=config.evaluation,
        extras=Extras(parts, files_of_corruptions, images, samples, members),
    )
    if reference_rows is not None:
        errors = normalized_errors(report.rows, reference_rows)
        report = replace(report, numbers=report.numbers | errors)
    files, problems = _record(folder, report, uri, folder_of_all, seed)
    return EvaluateResult(report, files, public_uri(uri), [*warnings, *problems])


def _record(
    folder: Path, report: "RobustnessReport", uri: str, out: Path, seed: int
) -> tuple[list[Path], list[str]]:
    """Write the table, the picture and the MLflow run; return the files, and what went wrong."""
    files = [
        write_evaluation_table(folder, report.rows),
        write_evaluation_picture(folder, report.rows),
    ]
    by_class = folder / BY_CLASS_FILE
    write_text(by_class, json.dumps(report.by_class, indent=1) + "\n")
    files.append(by_class)
    curvature = {f"curvature/{name}": value for name, value in asdict(report.curvature).items()}
    extra = curvature | report.numbers
    try:
        record_evaluation(
            folder, report.rows, files, tracking_uri=uri, out=out, seed=seed, extra=extra
        )
    except RecordsError as error:  # the measurements are in the files
        return files, [f"{error}; the files have all"]
    return files, []


def _parts(include: Sequence[str], *, images: int, samples: int) -> tuple[str, ...]:
    """Return the parts of an evaluation that are named in ``include``."""
    for name in include:
        if name not in (*EXTRA_PARTS, "all"):
            known = ", ".join((*EXTRA_PARTS, "all"))
            raise DataError(f"include: got {name!r}; choose from {known}")
    for option, value in (("images", images), ("samples", samples)):
        if value < 1:
            raise DataError(f"{option}: got {value}, must be 1 or more")
    return EXTRA_PARTS if "all" in include else tuple(dict.fromkeys(include))


def _reference_rows(folder: Path, parts: Sequence[str]) -> list[StoredRow]:
    """Return the rows of the reference model.

    Raises:
        TuneboxError: There are no corruptions, of this model or of that one.
    """
    if "corruptions" not in parts:
        raise DataError("reference: compares corruptions; include corruptions")
    rows = read_evaluation_table(folder)
    names = {row.perturbation for row in rows if row.strength_name == "severity"}
    if "clean" not in {row.perturbation for row in rows} or not names:
        raise DataError(
            f"{folder} was evaluated without corruptions; run "
            f"{shell_command('tunebox', 'evaluate', folder, '--include', 'corruptions')}"
        )
    return rows


def _count_look(model: Path, out: Path) -> list[str]:
    """Count the look at the test set in the folder of the model's search, if it is in ``out``.

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


def load_test_images(
    data: "DataSettings", format: "ModelFormat"
) -> tuple["AnyImageSet", list[str]]:
    """Return the test set as a model takes it, its classes matched by name.

    Args:
        data: Settings of the data that the model was trained on.
        format: What the model takes.

    Returns:
        The images, and a line for each thing that is odd.

    Raises:
        DataError: The data are missing or damaged, or the model cannot judge them.
    """
    from tunebox.data.match_classes import match_classes
    from tunebox.data.parts import open_test_part

    test = open_test_part(data.for_channels(format.channels))
    if test.image_shape != format.image_shape:
        given, taken = ("x".join(map(str, one)) for one in (test.image_shape, format.image_shape))
        raise DataError(
            f"the test images are {given} (channels, height, width), the model takes {taken}; give "
            "it images like those that it was trained on"
        )
    return match_classes(test, format.num_classes, format.class_names)


def load_members(data: "DataSettings", format: "ModelFormat") -> "AnyImageSet":
    """Return the images that a model was trained on, with the labels that it saw.

    Args:
        data: Settings of the data that the model was trained on.
        format: What the model takes.

    Raises:
        DataError: The data are missing or damaged, or the model cannot judge them.
    """
    from tunebox.data.match_classes import match_classes
    from tunebox.data.parts import open_training_parts

    train = open_training_parts(data.for_channels(format.channels)).train
    members, _ = match_classes(train, format.num_classes, format.class_names)
    return members
