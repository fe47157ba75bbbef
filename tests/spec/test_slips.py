from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import annotated_types
import pytest
from pydantic.fields import FieldInfo

from tests.spec.make_spec import FIXED_FILE, changed, spec_of
from tunebox.errors import SearchFileError
from tunebox.parts.part import Part
from tunebox.settings import Settings
from tunebox.spec import search_spec
from tunebox.spec.load import load_spec, shipped_files
from tunebox.spec.slips import likely_slips

BRANCHES = """\
data: {kind: digits}
model: {kind: mlp}
losses:
  choice:
    noisy: {cross_entropy: {on: noisy}, noise: {kind: uniform, epsilon: {uniform: [0.3, 9]}}}
    clean: {cross_entropy: {on: clean}}
optimizer:
  choice:
    plain: {kind: sgd, lr: {choice: [20, 0.1]}}
    adam: {kind: adamw, lr: {log_uniform: [0.001, 0.1]}, weight_decay: {uniform: [0, 1]}}
evaluation: {noise: {kind: gaussian, std: 2.5}}
"""

# without an upper bound on purpose: budgets, tolerances, and counts that mean "all" beyond it
UNBOUNDED = {"epochs", "budget", "time_budget", "tolerance", "last", "reference", "min", "max"}


def test_largest_values_of_all_branches_are_looked_at() -> None:
    lines = likely_slips(spec_of(BRANCHES))
    assert sorted(line.split("; ")[0] for line in lines) == [
        "made.yaml: evaluation/noise/std: 2.5 is unusually large",
        "made.yaml: losses/noisy/noise/epsilon: 9 is unusually large",
        "made.yaml: optimizer/plain/lr: 20 is unusually large",
    ]


@pytest.mark.parametrize("path", shipped_files(), ids=lambda path: path.stem)
def test_no_shipped_search_has_a_slip(path: Any) -> None:
    assert likely_slips(load_spec(str(path))) == []


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("std: 0.8", "std: 20", "evaluation/noise/std: got 20; "),
        ("kind: mlp", "kind: mlp, depth: 10000000", "model/depth: got 10000000; "),
        ("lr: 0.1", "lr: 10000000", "optimizer/lr: got 10000000; "),
        (
            "kind: digits",
            "kind: digits, validation_fraction: 20",
            "data/validation_fraction: got 20; input should be less than 1; in percent? write 0.2",
        ),
        (
            "lr: 0.1",
            "lr: 0.1, momentum: 90",
            "optimizer/momentum: got 90; input should be less than 1; in percent? write 0.9",
        ),
        (
            "kind: digits",
            "kind: digits, split_seed: 18446744073709551616",
            "data/split_seed: got 18446744073709551616; input should be less than "
            "9223372036854775808",
        ),
    ],
)
def test_what_nobody_can_want_is_refused(old: str, new: str, line: str) -> None:
    with pytest.raises(SearchFileError) as caught:
        spec_of(changed(old, new, FIXED_FILE))
    assert line in str(caught.value)


def test_a_range_is_refused_by_its_end() -> None:
    text = changed("lr: 0.1", "lr: {log_uniform: [0.5, 5000000]}", FIXED_FILE)
    with pytest.raises(SearchFileError, match=r"optimizer/lr: .*less than or equal to 1000000"):
        spec_of(text)


def numbers(cls: type[Settings]) -> Iterator[tuple[str, FieldInfo]]:
    """The fields that can be numbers."""
    for name, field in cls.model_fields.items():
        kinds = {get_origin(field.annotation) or field.annotation, *get_args(field.annotation)}
        kinds |= {get_args(kind)[0] for kind in kinds if get_origin(kind) is Annotated}
        if kinds & {int, float}:
            yield name, field


def is_bounded(field: FieldInfo) -> bool:
    inner = [part for part in get_args(field.annotation) if get_origin(part) is Annotated]
    marks = [*field.metadata]
    for part in inner:
        for mark in get_args(part)[1:]:
            marks += mark.metadata if isinstance(mark, FieldInfo) else [mark]
    return any(isinstance(mark, annotated_types.Le | annotated_types.Lt) for mark in marks)


def settings_classes() -> Iterator[type[Settings]]:
    assert search_spec  # its import brings all settings of a search file
    found: set[type[Settings]] = set()
    waiting: list[type[Settings]] = [Settings]
    for group in Part.__subclasses__():
        if "group" in vars(group):
            waiting += group.kinds().values()
    while waiting:
        cls = waiting.pop()
        is_ours = cls.__module__.startswith("tunebox") and cls.__module__ != "tunebox.parts.own"
        if cls not in found and is_ours:
            found.add(cls)
            waiting += cls.__subclasses__()
    yield from sorted(found, key=lambda cls: cls.__qualname__)


def test_every_number_has_an_upper_bound() -> None:
    checked = [
        (f"{cls.__name__}.{name}", is_bounded(field))
        for cls in settings_classes()
        for name, field in numbers(cls)
        if name not in UNBOUNDED and name not in ("cpus_per_trial", "gpus_per_trial")
    ]
    assert len(checked) > 60
    assert [name for name, bounded in checked if not bounded] == []
