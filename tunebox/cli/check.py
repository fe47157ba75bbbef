"""What ``tunebox spaces check`` says about a search file and its data."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tunebox.cli.terminal import printer
from tunebox.data.settings import DataSettings
from tunebox.errors import DataError
from tunebox.spec.load import load_spec
from tunebox.spec.sample import sample_values
from tunebox.spec.slips import likely_slips
from tunebox.spec.space import Values
from tunebox.verbs.data_check import note_inspection
from tunebox.verbs.own_parts import check_own_parts

if TYPE_CHECKING:
    from tunebox.data.inspection import Inspection
    from tunebox.data.read_files import Progress
    from tunebox.spec.search_spec import SearchSpec

_NUM_SAMPLES = 5


@dataclass(frozen=True)
class Checked:
    """What was found out about a search file that is valid.

    Attributes:
        spec: The search.
        warnings: Lines about what is likely a slip, and about data that are not there.
        inspection: What is in the data, None if they were not read.
        samples: Settings of trials drawn from the search.
    """

    spec: SearchSpec
    warnings: list[str]
    inspection: Inspection | None
    samples: list[Values]

    def as_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        data = None
        if self.inspection is not None:
            data = {
                "found": self.inspection.found,
                "notes": self.inspection.notes,
                "bad_files": [vars(one) for one in self.inspection.bad],
            }
        return {
            "file": self.spec.source.name,
            "searched_leaves": [leaf.path for leaf in self.spec.space.leaves],
            "objectives": list(self.spec.objectives),
            "constraints": str(self.spec.constraint_set) if self.spec.constraints else None,
            "warnings": self.warnings,
            "data": data,
            "start": list(self.spec.start),
            "samples": self.samples,
        }


def check_file(
    file: str, seed: int, *, reads_all: bool, progress: Progress | None = None
) -> Checked:
    """Check a search file, and draw trials from it.

    Args:
        file: Path of a search file, name of a shipped one, or ``-``.
        seed: Random seed of the trials.
        reads_all: Whether each image is read, and data that are missing are an error.
        progress: Called with the number of images that are read, and of all images.

    Raises:
        TuneboxError: The file has a mistake, or data that shall be read are missing or damaged.
    """
    spec = load_spec(file)
    check_own_parts(spec)
    warnings = list(likely_slips(spec))
    inspection = None
    data = spec.first_trial().data
    if data is not None:
        warnings += _missing(data, reads_all)
        inspection = data.inspect(progress) if reads_all else None
    generator = random.Random(seed)
    count = _NUM_SAMPLES if spec.space.leaves else 0
    samples = [sample_values(spec.space, generator) for _ in range(count)]
    return Checked(spec, warnings, inspection, samples)


def _missing(data: DataSettings, reads_all: bool) -> list[str]:
    try:
        data.check()
    except DataError as error:
        if reads_all:
            raise
        return [str(error)]
    return []


def print_check(console: Console, checked: Checked) -> None:
    """Print what was found out."""
    from tunebox.cli.tables import describe_settings

    spec = checked.spec
    for line in checked.warnings:
        console.print(f"warning: {line}", soft_wrap=True)
    if checked.inspection is not None:
        note_inspection(checked.inspection, printer(console))
    leaves = len(spec.space.leaves)
    console.print(
        f"{spec.source.name} is valid: {leaves} searched leaves, "
        f"objectives {', '.join(spec.objectives)}",
        soft_wrap=True,
    )
    if spec.constraints:
        console.print(f"constraints {spec.constraint_set}", soft_wrap=True)
    if not leaves:
        console.print("nothing is searched: a fixed trial, for tunebox train")
        return
    for values in spec.start:
        console.print(f"- start with {describe_settings(values)}")
    for values in checked.samples:
        console.print(f"- {describe_settings(values)}")
