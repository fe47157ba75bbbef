from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.spec.make_spec import FIXED_FILE, SEARCH_FILE, changed, spec_of
from tunebox.errors import SearchFileError
from tunebox.spec.load import find_source, load_spec, shipped_files, spec_from_source
from tunebox.spec.yaml_source import parse_yaml


@dataclass(frozen=True)
class Mistake:
    """A part of the file changed, and the place and the words of the line that must come."""

    old: str
    new: str
    place: str  # line and path
    words: tuple[str, ...]
    text: str = SEARCH_FILE


def mistake(old: str, new: str, place: str, *words: str) -> Mistake:
    return Mistake(old, new, place, words)


def fixed(old: str, new: str, place: str, *words: str) -> Mistake:
    return Mistake(old, new, place, words, FIXED_FILE)


LR = "{log_uniform: [1e-3, 0.2]}"
WIDTH = "{choice: [8, 16]}"
DEPTH = "{int_uniform: [1, 3]}"
STD = "std: {uniform: [0.1, 1.2]}"
CLEAN = "losses: {cross_entropy: {on: clean}}"

MISTAKES: dict[str, Mistake] = {
    # keys
    "newer format": mistake("# ", "format: 2\n# ", "1: format", "2 was made by a newer tunebox"),
    "unknown key": mistake("num_draws: 2", "draws: 2", "23: evaluation/draws", "unknown key"),
    "unknown key at the top": mistake(
        "model:", "net:", "3: net", "unknown key", "augmentation, model"
    ),
    "unknown key that is not text": fixed("model:", "1:", "2: 1", "unknown key"),
    "unknown key in a branch": mistake(
        "cross_entropy: {on: clean}\n      discriminative",
        "cross_entropy: {on: clean, wieght: 1}\n      discriminative",
        "15: losses/ours/cross_entropy/wieght",
        "unknown key",
    ),
    "unknown key in a nested branch": mistake(
        "count: 1",
        "number: 1",
        "13: losses/noisy/noise/mask/number",
        "choose from kind, size, count",
    ),
    "missing part": fixed("model: {kind: mlp}\n", "", "1: model", "is missing; add it"),
    "missing key": fixed(", lr: 0.1", "", "4: optimizer/lr", "is missing; add it"),
    "missing key in a branch": mistake(
        "{kind: gaussian, std: 0.3}", "{kind: gaussian}", "20: losses/ours/noise/std", "is missing"
    ),
    "missing kind": fixed(
        "{kind: mlp}", "{width: 3}", "2: model/kind", "is missing; add one of conv_mixer, mlp"
    ),
    # kinds
    "unknown data": mistake(
        "kind: digits", "kind: digit", "2: data/kind", "got 'digit'", "did you mean digits?"
    ),
    "unknown model": fixed("kind: mlp", "kind: cnn", "2: model/kind", "got 'cnn'", "resnet18"),
    "unknown noise": mistake(
        "kind: patch_mask", "kind: mask", "13: losses/noisy/noise/mask/kind", "got 'mask'"
    ),
    "unknown optimizer": fixed(
        "kind: sgd", "kind: lion", "4: optimizer/kind", "got 'lion'", "adamw"
    ),
    "unknown view": fixed("on: clean", "on: dirty", "3: losses/cross_entropy/on", "got 'dirty'"),
    # types
    "text for a number": fixed("lr: 0.1", "lr: fast", "4: optimizer/lr", "got 'fast'", "number"),
    "quoted number": fixed("lr: 0.1", "lr: '0.1'", "4: optimizer/lr", "got '0.1'", "number"),
    "not whole": fixed("mlp}", "mlp, width: 8.5}", "2: model/width", "got 8.5", "integer"),
    "number for a flag": fixed(
        "std: 0.8}", "std: 0.8, clamp: 1}", "5: evaluation/noise/clamp", "got 1", "boolean"
    ),
    "yes for a flag": fixed(
        "std: 0.8}", "std: 0.8, clamp: yes}", "5: evaluation/noise/clamp", "got 'yes'", "boolean"
    ),
    "word for settings": fixed(CLEAN, "losses: ce", "3: losses", "got 'ce'", "{key: value}"),
    "nothing for settings": fixed(CLEAN, "losses:", "3: losses", "got None", "{key: value}"),
    "list for settings": fixed("{kind: mlp}", "[mlp]", "2: model", "got ['mlp']"),
    "settings for a number": fixed("lr: 0.1", "lr: {a: 1}", "4: optimizer/lr", "or a distribution"),
    "range for a whole number": mistake(WIDTH, "{uniform: [8, 16]}", "3: model/width", "integer"),
    "not a number": fixed("lr: 0.1", "lr: .nan", "4: optimizer/lr", "got nan", "finite"),
    "infinite": fixed("lr: 0.1", "lr: .inf", "4: optimizer/lr", "got inf", "finite"),
    # bounds
    "below its bound": fixed("lr: 0.1", "lr: 0", "4: optimizer/lr", "got 0", "greater than 0"),
    "below its bound at the low end": mistake(
        STD, "std: {uniform: [-0.1, 1.2]}", "12: losses/noisy/noise/gaussian/std", "got -0.1", "0"
    ),
    "above its bound at the high end": mistake(
        "kind: sgd,", "kind: sgd, momentum: {uniform: [0.5, 1]},", "21: optimizer/momentum", "1"
    ),
    "below its bound at the low end of whole numbers": mistake(
        DEPTH, "{int_uniform: [0, 3]}", "3: model/depth", "got 0", "greater than or equal to 1"
    ),
    "one option out of bounds": mistake(
        WIDTH, "{choice: [8, 16, 0, 32]}", "3: model/width", "got 0", "greater than or equal to 1"
    ),
    "one option of a wrong type": mistake(
        WIDTH, "{choice: [8, wide]}", "3: model/width", "got 'wide'", "integer"
    ),
    "in a list": fixed(
        "evaluation:",
        "schedule: {kind: multistep, milestones: [0.5, 1.5]}\nevaluation:",
        "5: schedule/milestones/1",
        "got 1.5",
        "less than 1",
    ),
    "in a searched list": fixed(
        "evaluation:",
        "schedule: {kind: multistep, milestones: [{uniform: [0.2, 2]}, 0.9]}\nevaluation:",
        "5: schedule/milestones/0",
        "got 2.0",
        "less than 1",
    ),
    "in a step of a sequence": fixed(
        "{kind: gaussian, std: 0.8}",
        "{kind: sequence, steps: [{kind: gaussian, std: 1}, {kind: down_up, scale: 2}]}",
        "5: evaluation/noise/steps/1/scale",
        "got 2",
        "less than or equal to 1",
    ),
    # rules between settings
    "delta_d may be below delta_v": mistake(
        "delta_v: {uniform: [0, 1]}",
        "delta_v: {uniform: [0, 4]}",
        "16: losses/ours/discriminative",
        "delta_d=1.5 and delta_v=4",
    ),
    "delta_d may be equal to delta_v": mistake(
        "delta_d: {uniform: [1.5, 10]}",
        "delta_d: {uniform: [1, 10]}",
        "16: losses/ours/discriminative",
        "delta_d=1 and delta_v=1",
    ),
    "options that do not go together": mistake(
        "{kind: sgd,",
        "{kind: sgd, momentum: {choice: [0.9, 0.0]}, nesterov: {choice: [false, true]},",
        "21: optimizer",
        "nesterov needs momentum",
    ),
    "noise that no term looks at": mistake(
        "cross_entropy: {on: clean}\n    noisy",
        "cross_entropy: {on: clean}\n      noise: {kind: gaussian, std: 0.3}\n    noisy",
        "6: losses/clean_only",
        "no term looks at the noisy view",
    ),
    "noisy view without noise": fixed("on: clean", "on: both", "3: losses", "with a noise key"),
    "no weight": fixed("on: clean", "on: clean, weight: 0", "3: losses", "every weight is 0"),
    # distributions
    "low above high": mistake(
        LR, "{log_uniform: [0.2, 1e-3]}", "21: optimizer/lr", "low < high", "0.2", "0.001"
    ),
    "low equals high": mistake(LR, "{uniform: [1, 1]}", "21: optimizer/lr", "low < high"),
    "log of 0": mistake(LR, "{log_uniform: [0, 1]}", "21: optimizer/lr", "low > 0, got low 0"),
    "settings as options": mistake(
        WIDTH, "{choice: [{a: 1}, 2]}", "3: model/width", "got {'a': 1}", "as a mapping"
    ),
    "branch of nothing": mistake(
        "clean_only:\n      cross_entropy: {on: clean}",
        "clean_only:",
        "6: losses/clean_only",
        "None",
    ),
    "searched data": mistake(
        "kind: digits}",
        "kind: digits, validation_fraction: {uniform: [0.1, 0.5]}}",
        "2: data/validation_fraction",
        "data and evaluation are the same for all trials",
    ),
    "branches of data": mistake(
        "data: {kind: digits}",
        "data: {choice: {a: {kind: digits}, b: {kind: mnist}}}",
        "2: data",
        "data and evaluation are the same for all trials",
    ),
    "searched evaluation": mistake(
        "std: 0.8", "std: {uniform: [0.1, 0.5]}", "23: evaluation/noise/std", "same for all trials"
    ),
    "distribution of the whole file": fixed(
        "data: {kind: digits}", "uniform: [0, 1]", "1: uniform", "not the whole of a file"
    ),
    # objectives
    "unknown objective": mistake(
        "search:",
        "objectives:\n  speed: {direction: maximize, reference: 0}\nsearch:",
        "25: objectives/speed",
        "no trial reports 'speed'",
        "clean_accuracy, noisy_accuracy",
    ),
    "objective of a number": mistake(
        "search:",
        "objectives:\n  1: {direction: maximize, reference: 0}\nsearch:",
        "25: objectives/1",
        "no trial reports '1'",
    ),
    "objective without direction": mistake(
        "search:",
        "objectives: {learning_rate: {reference: 2}}\nsearch:",
        "24: objectives/learning_rate/direction",
        "is missing",
    ),
    "objective without reference": mistake(
        "search:",
        "objectives: {clean_loss: {direction: minimize}}\nsearch:",
        "24: objectives/clean_loss/reference",
        "is missing",
    ),
    "direction": mistake(
        "search:",
        "objectives: {clean_loss: {direction: down, reference: 2}}\nsearch:",
        "24: objectives/clean_loss/direction",
        "got 'down'",
        "'minimize'",
    ),
    "word for an objective": mistake(
        "search:", "objectives: {clean_loss: minimize}\nsearch:", "24: objectives/clean_loss", "got"
    ),
    "list of objectives": mistake(
        "search:", "objectives: [clean_loss]\nsearch:", "24: objectives", "got ['clean_loss']"
    ),
    "no objectives": mistake("search:", "objectives: {}\nsearch:", "24: objectives", "1 to 4"),
    "five objectives": mistake(
        "search:",
        "objectives:\n"
        + "".join(
            f"  {name}: {{direction: minimize, reference: 1}}\n"
            for name in ("clean_loss", "noisy_loss", "train_loss", "train_seconds", "parameters")
        )
        + "search:",
        "24: objectives",
        "1 to 4 objectives, got 5",
    ),
    # search
    "no trials": mistake("trials: 20", "trials: 0", "24: search/trials", "got 0", "equal to 1"),
    "unknown search key": mistake("seed: 3", "sede: 3", "24: search/sede", "unknown key"),
    "searched search": mistake(
        "trials: 20", "trials: {choice: [1, 2]}", "24: search/trials", "needs one value"
    ),
    "word for the search": fixed(
        "evaluation:", "search: fast\nevaluation:", "5: search", "got 'fast'"
    ),
    "factor of 1": mistake(
        "reduction_factor: 3", "reduction_factor: 1", "24: search/reduction_factor", "got 1", "2"
    ),
    "min_epochs above max_epochs": mistake(
        "min_epochs: 1", "min_epochs: 10", "24: search", "min_epochs=10 and max_epochs=9"
    ),
    "folder for a name": mistake("seed: 3", "name: a/b", "24: search/name", "got 'a/b'"),
    "parent for a name": mistake("seed: 3", "name: ..", "24: search/name", "got '..'"),
    "number for a name": mistake("seed: 3", "name: 2020", "24: search/name", "valid string"),
    "no time": mistake("seed: 3", "time_budget: 0", "24: search/time_budget", "got 0"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_one_line_with_file_line_path_and_value(name: str) -> None:
    given = MISTAKES[name]
    with pytest.raises(SearchFileError) as error:
        spec_of(changed(given.old, given.new, given.text))
    message = str(error.value)
    assert message.startswith(f"made.yaml:{given.place}: ")
    assert len(message.splitlines()) == 1
    for words in given.words:
        assert words in message.removeprefix(f"made.yaml:{given.place}: ")


def test_the_files_that_are_changed_here_are_valid() -> None:
    assert len(spec_of(SEARCH_FILE).space.leaves) == 13
    assert spec_of(FIXED_FILE).space.leaves == ()


OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "trials": ({"trials": 0}, "trials: got 0; input should be greater than or equal to 1"),
    "budget": ({"time_budget": -1.0}, "time_budget: got -1.0; input should be greater than 0"),
    "nan": ({"time_budget": float("nan")}, "time_budget: got nan; input should be a finite"),
    "cpus": ({"cpus_per_trial": 0.0}, "cpus_per_trial: got 0.0; input should be greater than or"),
    "name": ({"name": "../x"}, "name: a name has up to 100 letters"),
    "epochs": ({"max_epochs": 0}, "max_epochs: got 0; input should be greater than or equal"),
    "both": ({"max_epochs": 2, "min_epochs": 3}, "min_epochs must be at most max_epochs"),
    "unknown": ({"speed": 1}, "speed: unknown key"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_bad_option_is_named_as_in_python(name: str) -> None:
    options, message = OPTIONS[name]
    with pytest.raises(SearchFileError) as error:
        spec_from_source(parse_yaml(SEARCH_FILE, "made.yaml"), options)
    assert str(error.value).startswith(message)
    assert len(str(error.value).splitlines()) == 1


def test_options_win_and_none_leaves_the_file_its_word() -> None:
    source = parse_yaml(SEARCH_FILE, "made.yaml")
    search = spec_from_source(source, {"trials": 5, "seed": None}).search
    assert (search.trials, search.seed, search.max_epochs) == (5, 3, 9)


def test_defaults() -> None:
    spec = spec_of(FIXED_FILE)
    assert spec.search.trials == 64
    assert list(spec.objectives) == ["clean_accuracy", "noisy_accuracy"]
    assert spec.objective_set.reference_costs.tolist() == [0, 0]
    assert spec.question == ""


@pytest.mark.parametrize(
    ("first_line", "question"),
    [
        ("# Which one?\n", "Which one?"),
        ("## Which # one? \n", "Which # one?"),
        ("\ufeff# Which one?\n", "Which one?"),
        ("", ""),
        ("\n# Too late\n", ""),
    ],
)
def test_question_is_the_comment_on_the_first_line(first_line: str, question: str) -> None:
    assert spec_of(first_line + FIXED_FILE).question == question


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a/b/digits.yaml", "digits"),
        ("<stdin>", "search"),
        ("my search (2).yaml", "my-search-2"),
        (".yaml", "yaml"),
        ("\u00e9t\u00e9.v2.yml", "t-.v2"),
        ("???.yaml", "search"),
        (f"{'x' * 200}.yaml", "x" * 80),
    ],
)
def test_stem_can_be_part_of_a_name(name: str, stem: str) -> None:
    spec = spec_of(FIXED_FILE, name)
    assert spec.stem == stem
    spec_from_source(spec.source, {"name": f"{stem}-1"})


def test_file_by_path_by_name_and_from_stdin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SEARCH_FILE)
    assert load_spec(str(path)).stem == "mine"
    shipped = shipped_files()[0]
    assert load_spec(shipped.stem).source == load_spec(f"{shipped.stem}.yaml").source
    monkeypatch.setattr(sys, "stdin", io.StringIO(SEARCH_FILE))
    assert load_spec("-").source.name == "<stdin>"


def test_own_file_wins_over_a_shipped_one_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = shipped_files()[0].name
    (tmp_path / name).write_text(SEARCH_FILE)
    assert find_source(name).text == SEARCH_FILE


@pytest.fixture(params=["absent", "absent.yaml", "a/b/absent.yaml", "", "x" * 5000, "a\0b"])
def absent(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_absent_file(absent: str) -> None:
    with pytest.raises(SearchFileError, match="no such search file; give a path or one that ships"):
        find_source(absent)


def test_stdin_that_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"a: \xff\n"), encoding="utf-8", errors="strict")
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(SearchFileError, match=r"^<stdin>: not a text in UTF-8$"):
        find_source("-")


def test_trials_inside_the_corners_are_valid_too() -> None:
    # the corners are what is checked: the middle of each range must hold as well
    spec = spec_of()
    values = spec.space.draw(
        lambda leaf: (
            sum(leaf.distribution.ends) / 2  # type: ignore[arg-type]
            if "lr" in leaf.path or "delta" in leaf.path
            else leaf.distribution.ends[-1]
        )
    )
    assert "discriminative" in spec.trial_config(values).losses.terms
