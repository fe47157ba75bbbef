"""Starting points and constraints of a search file."""

from __future__ import annotations

import pytest

from tests.spec.make_spec import SEARCH_FILE, changed, spec_of
from tunebox.errors import SearchFileError
from tunebox.losses.terms.discriminative import DiscriminativeSettings
from tunebox.spec.load import load_spec
from tunebox.spec.write import search_yaml, trial_yaml

START = """\
start:
  - losses: {ours: {discriminative: {weight: 1, delta_v: 0.5}}}
    optimizer: {lr: 0.01}
  - losses: {noisy: {noise: gaussian}}
  - losses: {noisy: {noise: {mask: {size: 2}}}}
    training: {seed: null}
  - losses: clean_only
constraints: {clean_accuracy: {min: 0.9}, parameters: {min: 10, max: 1e5}}
"""


def test_entries_are_values_by_leaf() -> None:
    assert spec_of(SEARCH_FILE + START).start == (
        {
            "losses": "ours",
            "losses/ours/discriminative/weight": 1.0,
            "losses/ours/discriminative/delta_v": 0.5,
            "optimizer/lr": 0.01,
        },
        {"losses": "noisy", "losses/noisy/noise": "gaussian"},
        {
            "losses": "noisy",
            "losses/noisy/noise": "mask",
            "losses/noisy/noise/mask/size": 2,
            "training/seed": None,
        },
        {"losses": "clean_only"},
    )


def test_numbers_have_the_type_of_their_distribution() -> None:
    first, _, third, _ = spec_of(SEARCH_FILE + START).start
    assert isinstance(first["losses/ours/discriminative/weight"], float)
    assert isinstance(third["losses/noisy/noise/mask/size"], int)


def test_constraints_are_bounds() -> None:
    spec = spec_of(SEARCH_FILE + START)
    assert str(spec.constraint_set) == (
        "clean_accuracy >= 0.9, parameters >= 10 and parameters <= 100000"
    )
    assert not spec_of().constraint_set


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("weight: 1,", "weight: 7,", 26, "discriminative/weight: got 7, outside log_uniform"),
        ("weight: 1,", "weight: x,", 26, "got 'x', needs a number within log_uniform [0.05, 5]"),
        ("weight: 1,", "weight: true,", 26, "got True, needs a number"),
        ("size: 2", "size: 2.0", 29, "got 2.0, needs a whole number within log_int_uniform [1, 4]"),
        ("losses: clean_only", "losses: other", 31, "got 'other', needs one of 'clean_only'"),
        ("seed: null", "seed: 8", 30, "start/2/training/seed: got 8, needs one of None, 7"),
        ("lr: 0.01", "momentum: 0.9", 27, "start/0/optimizer/momentum: is not searched"),
        ("  - losses: clean_only", "  - losses/ours: x", 31, "is a path; write a mapping"),
        ("  - losses: clean_only", "  - {}", 31, "start/3: needs settings"),
        ("{mask: {size: 2}}", "{mask: {size: 2}, gaussian: {}}", 29, "needs one of 'gaussian'"),
        ("{min: 0.9}", "{}", 32, "constraints/clean_accuracy: a constraint needs min, max or both"),
        ("{min: 0.9}", "{min: 0.9, max: 0.5}", 32, "min must be at most max, got min=0.9"),
        ("{min: 0.9}", "0.9", 32, "constraints/clean_accuracy: got 0.9; needs settings"),
        ("{min: 0.9}", "{least: 0.9}", 32, "constraints/clean_accuracy/least: unknown key"),
        ("{min: 0.9}", "{min: .nan}", 32, "constraints/clean_accuracy/min: got nan"),
        ("{min: 0.9}", "{min: 90}", 32, "constraints/clean_accuracy: clean_accuracy is a share"),
        ("clean_accuracy:", "accuracy:", 32, "no trial reports 'accuracy'; constraints can be"),
    ],
)
def test_a_mistake_names_line_path_value_and_bound(
    old: str, new: str, line: int, message: str
) -> None:
    with pytest.raises(SearchFileError) as caught:
        spec_of(SEARCH_FILE + changed(old, new, START))
    assert str(caught.value).startswith(f"made.yaml:{line}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("start: {losses: ours}\n", "start: needs a list of settings to try first"),
        ("constraints: [clean_accuracy]\n", "constraints: needs clean_accuracy: {min: 0.9}"),
    ],
)
def test_the_wrong_kind_is_refused(text: str, message: str) -> None:
    with pytest.raises(SearchFileError) as caught:
        spec_of(SEARCH_FILE + text)
    assert str(caught.value).startswith("made.yaml:25: ")
    assert message in str(caught.value)


def test_the_search_as_it_ran_has_them_and_a_trial_of_it_has_not() -> None:
    rule = "stop_when: {hypervolume_stalls: {trials: 5, tolerance: 0.01}}, warm_start: [a-1]"
    spec = spec_of(changed("seed: 3", f"seed: 3, sampler: gp, {rule}") + START)
    again = spec_of(search_yaml(spec))
    assert again.start == spec.start
    assert again.constraints == spec.constraints
    assert again.search == spec.search
    values = spec.space.draw(lambda leaf: leaf.distribution.ends[0])
    trial = spec_of(trial_yaml(spec, values, "One"))
    assert not trial.start
    assert not trial.constraints


def test_the_published_values_are_tried_first() -> None:
    spec = load_spec("paper_cifar10")
    ours = spec.trial_config(
        {**spec.space.draw(lambda leaf: leaf.distribution.ends[0]), **spec.start[0]}
    )
    loss = ours.losses.terms["discriminative"]
    assert isinstance(loss, DiscriminativeSettings)
    assert (loss.weight, loss.compactness_weight, loss.margin_weight) == (1, 1, 1)
    assert (loss.regularization_weight, loss.delta_v, loss.delta_d) == (0.001, 0.5, 5)
    assert loss.momentum == 0.99
    assert ours.optimizer.model_dump()["lr"] == 0.001
