from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

import pytest
from annotated_types import Le, Lt
from pydantic import ValidationError

from tunebox.models.settings import LastLayers
from tunebox.settings import Settings
from tunebox.spec.confirm_settings import ConfirmSettings
from tunebox.spec.search_settings import HypervolumeStalls, SearchSettings
from tunebox.spec.search_spec import ObjectiveSettings


@pytest.mark.parametrize(
    ("max_epochs", "expected"), [(1, 1), (3, 1), (8, 2), (9, 2), (27, 6), (32, 8), (200, 50)]
)
def test_first_rung_is_at_a_quarter_of_the_epochs(max_epochs: int, expected: int) -> None:
    assert SearchSettings(max_epochs=max_epochs).first_rung == expected


def test_first_rung_that_is_given_is_taken() -> None:
    assert SearchSettings(max_epochs=32, min_epochs=1).first_rung == 1
    assert SearchSettings(max_epochs=32, min_epochs=32).first_rung == 32


def test_the_model_decides_with_its_own_sampler_only() -> None:
    assert SearchSettings(sampler="gp", scheduler="model").max_paused == 16
    message = "scheduler: model decides by the model of sampler: gp, got sampler: tpe: set sampler"
    with pytest.raises(ValidationError, match=message):
        SearchSettings(scheduler="model")


def test_what_is_expected_ends_a_search_with_a_model_only() -> None:
    rule = {"stop_when": {"expected_gain": 0.001}}
    found = SearchSettings.model_validate({"sampler": "gp", **rule}).stop_when
    assert found is not None
    assert (found.expected_gain, found.hypervolume_stalls) == (0.001, None)
    with pytest.raises(ValidationError, match="expected_gain is what the model of sampler: gp exp"):
        SearchSettings.model_validate(rule)


def test_stop_when_needs_a_rule() -> None:
    with pytest.raises(ValidationError, match="give hypervolume_stalls or expected_gain"):
        SearchSettings.model_validate({"stop_when": {}})


@pytest.mark.parametrize("gpus", [1.5, 2.0, 8.0])
def test_a_trial_has_at_most_one_gpu(gpus: float) -> None:
    message = f"a trial trains on one GPU, the others would be idle, got {gpus:g}: give 1"
    with pytest.raises(ValidationError, match=message):
        SearchSettings(gpus_per_trial=gpus)


def test_shares_of_a_gpu_and_one_are_taken() -> None:
    values: list[float | Literal["auto"]] = [0.0, 0.25, 1.0, "auto"]
    for gpus in values:
        assert SearchSettings(gpus_per_trial=gpus).gpus_per_trial == gpus


def numbers_without_an_end(model: type[Settings]) -> Iterator[str]:
    """Yield each number of ``model`` that has no upper bound."""
    for name, field in model.model_fields.items():
        kinds, bounds = parts_of(field.annotation), list(field.metadata)
        for kind in kinds:
            for info in getattr(kind, "__metadata__", ()):
                bounds += getattr(info, "metadata", [info])
        if {int, float} & set(kinds) and not any(isinstance(one, Lt | Le) for one in bounds):
            yield f"{model.__name__}.{name}"


def parts_of(annotation: Any) -> list[Any]:
    """Return a type and all that it is made of."""
    return [annotation, *(part for inner in get_args(annotation) for part in parts_of(inner))]


def test_numbers_of_a_search_have_upper_bounds() -> None:
    models = (SearchSettings, HypervolumeStalls, ConfirmSettings, ObjectiveSettings, LastLayers)
    unbounded = [name for model in models for name in numbers_without_an_end(model)]
    # at most 1, which its own message explains
    assert unbounded == ["SearchSettings.gpus_per_trial"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 10**24),
        ("time_budget", 1e300),
        ("cpus_per_trial", 1e9),
        ("cpus_per_trial", 1e-5),
        ("gpus_per_trial", 1e-9),
        ("stop_when", {"hypervolume_stalls": {"trials": 20, "tolerance": 50}}),
    ],
)
def test_value_that_nobody_means(name: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        SearchSettings.model_validate({name: value})
