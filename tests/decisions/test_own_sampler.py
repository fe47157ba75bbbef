"""A sampler of the user's own: what it is given, what it may return, and a search with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunebox.errors import SearchFileError, TuneboxError
from tunebox.spec.load import load_spec
from tunebox.spec.space import Values
from tunebox.verbs.own_parts import check_own_parts

FILE = """\
data: {kind: digits, train_images: 200}
model: {kind: mlp, width: {int_uniform: [4, 32]}}
losses:
  choice:
    clean: {cross_entropy: {on: clean}}
    noisy: {cross_entropy: {on: noisy}, noise: {kind: gaussian, std: {uniform: [0.1, 1.0]}}}
optimizer: {kind: sgd, lr: {log_uniform: [0.01, 0.5]}}
evaluation: {noise: {kind: gaussian, std: 0.3}}
search: {trials: 6, min_epochs: 1, max_epochs: 2, sampler: "own.py:suggest"}
"""
# half of the lowest learning rate tried, at first at random
HALVING = """
import random

def suggest(space, trials, seed):
    rng = random.Random(seed)
    def pick(leaf):
        if leaf.path == "optimizer/lr" and trials:
            best = min(trial.settings[leaf.path] for trial in trials)
            return max(best / 2, leaf.distribution.low)
        ends = leaf.distribution.ends
        return rng.choice(ends)
    return space.draw(pick)
"""


def write(folder: Path, code: str) -> Any:
    (folder / "own.py").write_text(code, encoding="utf-8")
    (folder / "s.yaml").write_text(FILE, encoding="utf-8")
    return load_spec(str(folder / "s.yaml"))


@pytest.mark.slow
def test_a_search_and_its_resume_ask_it(tmp_path: Path) -> None:
    import tunebox

    write(tmp_path, HALVING)
    out = str(tmp_path / "results")
    tunebox.search(tmp_path / "s.yaml", name="s", out=out, address="none", epochs=4)
    (tmp_path / "own.py").unlink()
    found = tunebox.search(resume=True, name="s", out=out, epochs=100, address="none")
    rates = [float(str(t.settings["optimizer/lr"])) for t in found.log.trials.values()]
    assert len(rates) == 6
    expected = [rates[0]]
    while len(expected) < 6:
        expected.append(max(expected[-1] / 2, 0.01))
    assert rates == pytest.approx(expected)


def test_start_settings_come_first(tmp_path: Path) -> None:
    from tunebox.decisions.state import SearchState

    spec = write(tmp_path, HALVING)
    given: Values = {"losses": "noisy", "optimizer/lr": 0.3}
    with_start = load_spec(str(tmp_path / "s.yaml"))
    object.__setattr__(with_start, "start", (given,))
    first = SearchState.of(with_start).method.suggest("0000")
    assert first is not None
    assert (first["losses"], first["optimizer/lr"]) == ("noisy", 0.3)
    assert spec.search.sampler == "own.py:suggest"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def suggest(space, trials, seed): return 1 / 0", "own.py:1: suggest: ZeroDivisionError"),
        ("def suggest(space, trials, seed): return 3", "returns int, expected values by path"),
        ("def suggest(space, trials, seed): return {}", "returns no value for model/width"),
        (
            "def suggest(space, trials, seed): return {'model/width': 99, 'losses': 'clean'}",
            "model/width: got 99, outside int_uniform [4, 32]",
        ),
        ("def other(space, trials, seed): return {}", "has no 'suggest'; it has other"),
    ],
)
def test_a_mistake_is_one_line_before_the_search(code: str, message: str, tmp_path: Path) -> None:
    spec = write(tmp_path, code)
    with pytest.raises(TuneboxError) as caught:
        check_own_parts(spec)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_sampler_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(FILE.replace("own.py:suggest", "grid"), encoding="utf-8")
    with pytest.raises(SearchFileError, match="search/sampler: got 'grid'; input should be 'tpe'"):
        load_spec(str(tmp_path / "s.yaml"))
