"""The file ``confirm.json`` in the folder of a confirmation: what it repeats, and its options."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter

from tunebox.decisions.confirm import Candidate
from tunebox.errors import reading
from tunebox.records.files import read_json, write_json
from tunebox.records.search_folder import SearchFolder
from tunebox.spec.space import Scalar

_FORMAT = 1


@dataclass(frozen=True)
class ConfirmPlan:
    """What a confirmation repeats.

    Attributes:
        search: Name of the search.
        candidates: The trials that may be trained again, the most important first.
        options: `ConfirmSettings` as the last call of `tunebox.confirm` had them.
        measures_test: Whether the retrainings are measured on the test set. Those that a search
            makes at its end, for ``repeats``, are not.
    """

    search: str
    candidates: Sequence[Candidate] = ()
    options: dict[str, Any] = field(default_factory=dict)
    measures_test: bool = True

    def repeated(self, settings: dict[str, Scalar]) -> str | None:
        """Return the trial that the retraining with ``settings`` repeats, as ``search/trial``."""
        for candidate in self.candidates:
            if candidate.is_repeated_by(settings):
                return f"{self.search}/{candidate.trial_id}"
        return None


_PLAN = TypeAdapter(ConfirmPlan)


def write_plan(folder: SearchFolder, plan: ConfirmPlan) -> None:
    """Write ``plan`` into the folder of the confirmation."""
    write_json(folder.confirm, {"format": _FORMAT, **asdict(plan)})


def read_plan(folder: SearchFolder) -> ConfirmPlan | None:
    """Return what the search in ``folder`` repeats; None if it is no confirmation.

    Raises:
        RecordsError: The file is damaged, or a newer tunebox wrote it.
    """
    path = folder.confirm
    if not path.exists():
        return None
    advice = f"put it back, or remove {folder.root} and confirm the search anew"
    with reading(path, advice=advice):
        content = read_json(path, _FORMAT)
        fields = ("search", "candidates", "options")
        measures_test = content.get("measures_test", True)  # earlier versions always did
        return _PLAN.validate_python(
            {**{field: content[field] for field in fields}, "measures_test": measures_test}
        )
