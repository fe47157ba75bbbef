"""Search files whose training loop is the user's own: what is checked, read and written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tunebox.errors import SearchFileError
from tunebox.spec.load import load_spec
from tunebox.spec.own_trial import OwnTrialConfig
from tunebox.spec.space import Values
from tunebox.spec.write import search_yaml, trial_yaml

FILE = """\
# How deep?
trial: loop.py:train
config:
  lr: {log_uniform: [0.001, 1]}
  net:
    choice:
      wide: {kind: wide, width: {choice: [8, 16]}}
      deep: {kind: "deep:er", layers: [{int_uniform: [1, 3]}, 4]}
  note: null
objectives:
  score: {direction: maximize, reference: 0.0}
  cost/mean: {direction: minimize, reference: 1.0}
constraints: {seconds: {max: 5}}
start:
  - config: {lr: 0.1, net: {deep: {layers: {0: 2}}}}
search: {trials: 3, max_epochs: 4, seed: 5}
"""
LOOP = """\
def train(config, *, seed, max_epochs, device):
    yield {}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "loop.py").write_text(LOOP, encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(FILE, encoding="utf-8")
    return tmp_path


def test_the_rest_of_the_file_is_a_free_tree(home: Path) -> None:
    spec = load_spec(str(home / "mine.yaml"))
    paths = [leaf.path for leaf in spec.space.leaves]
    assert paths == ["config/lr", "config/net", "config/net/wide/width", "config/net/deep/layers/0"]
    assert list(spec.objectives) == ["score", "cost/mean"]
    assert spec.start == ({"config/lr": 0.1, "config/net": "deep", "config/net/deep/layers/0": 2},)
    assert spec.references == ["loop.py:train"]  # the kinds in config are for the loop to read
    trial = spec.trial({"config/lr": 0.1, "config/net": "deep", "config/net/deep/layers/0": 2})
    assert isinstance(trial, OwnTrialConfig)
    deep = {"kind": "deep:er", "layers": [2, 4]}
    assert trial.config == {"lr": 0.1, "net": deep, "note": None}
    assert trial.arguments == {"config", "seed", "max_epochs", "device"}
    assert trial.data is None


def test_a_search_and_its_trials_are_written_and_read_again(home: Path) -> None:
    spec = load_spec(str(home / "mine.yaml"), {"seed": 8})
    again = home / "again.yaml"
    again.write_text(search_yaml(spec), encoding="utf-8")
    read = load_spec(str(again))
    assert (read.space.leaves, read.start) == (spec.space.leaves, spec.start)
    assert (read.objectives, read.constraints) == (spec.objectives, spec.constraints)
    values: Values = {"config/lr": 0.1, "config/net": "wide", "config/net/wide/width": 16}
    again.write_text(trial_yaml(spec, values, "One"), encoding="utf-8")
    read = load_spec(str(again))
    assert read.space.leaves == ()
    assert read.search.seed == 8
    assert read.trial({}) == spec.trial(values)


def test_it_is_no_classifier(home: Path) -> None:
    spec = load_spec(str(home / "mine.yaml"))
    with pytest.raises(SearchFileError, match=r"runs of your own training loop loop.py:train, not"):
        spec.trial_config(dict(spec.start[0]))


def test_a_program_may_hand_the_loop_over() -> None:
    def loop(config: dict[str, Any]) -> Iterator[dict[str, float]]:
        yield {"score": config["x"]}

    tree = {
        "trial": loop,
        "config": {"x": {"uniform": [0, 1]}},
        "objectives": {"score": {"direction": "maximize", "reference": 0}},
    }
    spec = load_spec(tree)
    assert spec.references == ["object:loop"]
    trial = spec.trial({"config/x": 0.5})
    assert isinstance(trial, OwnTrialConfig)
    assert next(iter(trial.loop(trial.config))) == {"score": 0.5}


MISTAKES = {
    "no reference": ("loop.py:train", "train", "2: trial: got 'train'; name a function: file.py:"),
    "no file": ("loop.py:train", "gone.py:train", "2: trial: ", "gone.py cannot be read (No such"),
    "no module": ("loop.py:train", "no_such_thing:train", "2: trial: no module 'no_such_thing'"),
    "no function": ("loop.py:train", "loop.py:trian", "has no 'trian'; it has train"),
    "searched": ("loop.py:train", "{choice: [a, b]}", "2: trial: trial is the same for all trials"),
    "other key": ("# How deep?", "model: {kind: mlp}", "1: model: unknown key", "trial, config"),
    "no plain data": (
        "note: null",
        "note: !!timestamp 2020-01-01",
        "9: config/note: got datetime.date(2020",
    ),
    "a path": ("note: null", "a/b: 1", "config: the key 'a/b' has a / in it"),
    "no direction": ("{direction: maximize, ", "{", "11: objectives/score/direction: is missing"),
    "no reference point": (", reference: 0.0", "", "11: objectives/score/reference: is missing"),
    "bad name": ("score:", "my score:", "11: objectives/my score: 'my score' is no name of a"),
    "taken name": ("score:", "epoch:", "11: objectives/epoch: 'epoch' is a column of the tables"),
    "bad constraint": ("seconds:", "time:", "13: constraints/time: 'time' is a column of the"),
    "measured": ("seed: 5", "gpus_per_trial: auto", "--gpus-per-trial auto: measures the images"),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_in_the_file_is_one_line(home: Path, mistake: tuple[str, ...]) -> None:
    old, new, *words = mistake
    assert FILE.count(old) == 1
    (home / "mine.yaml").write_text(FILE.replace(old, new), encoding="utf-8")
    assert_one_line(home, words)


LOOPS = {
    "no generator": ("def train(config): return {}", "loop.py:1: train: is no generator function"),
    "a class": ("class train: pass", "loop.py:1: train: is no generator function; write def train"),
    "a coroutine": ("async def train(config): yield {}", "is no generator function"),
    "no config": ("def train(seed): yield {}", "loop.py:1: train: has no argument config; write"),
    "one more": ("def train(config, lr): yield {}", "its argument 'lr' is none of config, seed,"),
    "positional": ("def train(config, /): yield {}", "'config' cannot be given by its name"),
    "syntax": ("def train(:", "loop.py:1: SyntaxError"),
    "import": ("\nimport no_such_thing", "loop.py:2: ModuleNotFoundError: No module named"),
}


@pytest.mark.parametrize("loop", LOOPS.values(), ids=list(LOOPS))
def test_a_mistake_in_the_loop_is_one_line(home: Path, loop: tuple[str, ...]) -> None:
    code, *words = loop
    (home / "loop.py").write_text(f"{code}\n", encoding="utf-8")
    assert_one_line(home, ["mine.yaml:2: trial: ", *words])


def assert_one_line(home: Path, words: list[str]) -> None:
    with pytest.raises(SearchFileError) as raised:
        load_spec(str(home / "mine.yaml"))
    message = str(raised.value)
    assert [word for word in words if word not in message] == [], message
    assert "\n" not in message


@pytest.mark.parametrize(
    "head", ["config", "config, **more", "config, seed=1, other=2, *rest", "*, config, checkpoint"]
)
def test_a_loop_takes_what_it_wants(home: Path, head: str) -> None:
    (home / "loop.py").write_text(f"def train({head}): yield {{}}\n", encoding="utf-8")
    assert load_spec(str(home / "mine.yaml")).references == ["loop.py:train"]
