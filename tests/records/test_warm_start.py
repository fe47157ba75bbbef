from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from tests.records.make_log import SEARCH_FILE, make_log, make_spec
from tunebox.decisions.trials import TrialState
from tunebox.errors import RecordsError
from tunebox.records.search_folder import SearchFolder, create_folder, open_folder
from tunebox.records.trial_tables import write_tables
from tunebox.records.warm_start import WarmStart, keep_trials, kept_trials, warm_start
from tunebox.spec.load import spec_from_source
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.write import search_yaml
from tunebox.spec.yaml_source import parse_yaml

TAKEN = (TrialState.FINISHED, TrialState.STOPPED, TrialState.DIVERGED, TrialState.COLLAPSED)


@pytest.fixture
def earlier(tmp_path: Path) -> SearchFolder:
    folder = create_folder(tmp_path, "earlier-1")
    spec = make_spec()
    folder.search_file.write_text(search_yaml(spec))
    write_tables(folder, make_log(60), spec.space.leaves)
    return folder


def spec_with(*changes: tuple[str, str]) -> SearchSpec:
    text = SEARCH_FILE
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return spec_from_source(parse_yaml(text, "new.yaml"))


def count_left(found: WarmStart, reason: str) -> int:
    (line,) = [line for line in found.lines if line.endswith(f": {reason}")]
    return int(line.removeprefix("  left ").partition(":")[0])


def test_trials_that_ended_by_themselves_are_taken_as_they_are(earlier: SearchFolder) -> None:
    found = warm_start(make_spec(), earlier)
    expected = [trial for trial in make_log(60).trials.values() if trial.state in TAKEN]
    assert [trial.trial_id for trial in found.trials] == [trial.trial_id for trial in expected]
    assert [trial.settings for trial in found.trials] == [trial.settings for trial in expected]
    assert [trial.history for trial in found.trials] == [trial.history for trial in expected]
    assert found.lines[0] == f"warm start from earlier-1: took {len(expected)} of 60 trials"
    assert {line.partition(": ")[2] for line in found.lines[1:]} == {
        "ended as running",
        "ended as paused",
        "ended as failed",
        "ended as interrupted",
    }


def test_settings_out_of_range_are_left(earlier: SearchFolder) -> None:
    found = warm_start(spec_with(("[0.01, 0.3]", "[0.01, 0.1]")), earlier)
    ended = [trial for trial in make_log(60).trials.values() if trial.state in TAKEN]
    within = [t.trial_id for t in ended if float(t.settings["optimizer/lr"] or 0) <= 0.1]
    assert 0 < len(within) < len(ended)
    assert [trial.trial_id for trial in found.trials] == within
    reason = "optimizer/lr: outside log_uniform [0.01, 0.1]"
    assert count_left(found, reason) == len(ended) - len(within)


def test_what_the_new_search_fixes_has_to_be_the_same(earlier: SearchFolder) -> None:
    found = warm_start(spec_with(("{choice: [16, 32]}", "32")), earlier)
    ended = [trial for trial in make_log(60).trials.values() if trial.state in TAKEN]
    same = [trial.trial_id for trial in ended if trial.settings["model/width"] == 32]
    assert [trial.trial_id for trial in found.trials] == same
    assert all("model/width" not in trial.settings for trial in found.trials)
    assert count_left(found, "model/width: got 16, needs 32") == len(ended) - len(same)


def test_what_the_earlier_search_fixed_may_be_searched_now(earlier: SearchFolder) -> None:
    found = warm_start(spec_with(("feature_dim: 4", "feature_dim: {choice: [2, 4]}")), earlier)
    assert found.trials
    assert all(trial.settings["model/feature_dim"] == 4 for trial in found.trials)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("kind: digits", "kind: mnist", "data/kind: got 'digits', needs 'mnist'"),
        ("std: 0.3}}", "std: 0.4}}", "evaluation/noise/std: got 0.3, needs 0.4"),
        ("on: noisy}", "on: both}", "losses/noisy/cross_entropy/on: got 'noisy', needs 'both'"),
        ("    noisy:", "    other:", "losses: needs one of the branches clean_only, other"),
        (
            "on: clean}",
            "on: clean, weight: 2}",
            "losses/clean_only/cross_entropy/weight: is set only here",
        ),
        (
            "search:",
            "objectives: {clean_loss: {direction: minimize, reference: 2}}\nsearch:",
            "its objectives are clean_accuracy (maximize), noisy_accuracy (maximize)",
        ),
    ],
)
def test_what_was_not_measured_alike_is_left(
    earlier: SearchFolder, old: str, new: str, reason: str
) -> None:
    found = warm_start(spec_with((old, new)), earlier)
    assert count_left(found, reason) > 0
    if not reason.startswith("losses"):
        assert not found.trials


def test_a_search_that_is_not_there_is_named(earlier: SearchFolder) -> None:
    with pytest.raises(RecordsError, match=r"no search 'other-1'.*it has earlier-1"):
        warm_start(make_spec(), open_folder(earlier.root.parent, "other-1"))


def test_values_of_is_the_inverse_of_fix() -> None:
    space = make_spec().space
    for trial in make_log(30).trials.values():
        assert space.values_of(space.fix(trial.settings)) == trial.settings


def test_trials_of_another_length_are_left(earlier: SearchFolder) -> None:
    spec = make_spec()
    longer = replace(spec, search=spec.search.model_copy(update={"max_epochs": 99}))
    found = warm_start(longer, earlier)
    assert found.trials == []
    assert count_left(found, f"its max_epochs is {spec.search.max_epochs}") == 60


def test_what_was_taken_is_kept_but_for_reports_that_are_not_finite(
    earlier: SearchFolder, tmp_path: Path
) -> None:
    taken = warm_start(make_spec(), earlier).trials
    taken[0].history[-1].metrics["train_loss"] = math.nan
    keep_trials(taken, tmp_path / "kept.json")
    kept = kept_trials(tmp_path / "kept.json")
    assert len(kept[0].history) == len(taken[0].history) - 1
    assert [(t.trial_id, t.settings, t.state) for t in kept] == [
        (t.trial_id, t.settings, t.state) for t in taken
    ]
    for one, other in zip(kept[1:], taken[1:], strict=True):
        finite = [r for r in other.history if all(map(math.isfinite, r.metrics.values()))]
        assert one.history == finite


def test_a_damaged_file_of_what_was_taken(tmp_path: Path) -> None:
    assert kept_trials(tmp_path / "absent.json") == []
    for damaged in ('{"trials": [{"tri', "[]", "7", '{"format": 1}', '{"trials": [{}]}'):
        (tmp_path / "kept.json").write_text(damaged)
        with pytest.raises(RecordsError, match=r"kept.json is damaged: .*; put it back as"):
            kept_trials(tmp_path / "kept.json")
    (tmp_path / "kept.json").write_text('{"format": 3, "runs": []}')
    with pytest.raises(RecordsError, match="has format 3, made by a newer tunebox"):
        kept_trials(tmp_path / "kept.json")
