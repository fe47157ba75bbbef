"""Mistakes in parts of the user's own: each is one line, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tunebox.errors import TuneboxError
from tunebox.spec.load import load_spec
from tunebox.verbs.own_parts import check_own_parts

HEAD = "import torch\nfrom torch import nn\n"
FILE = """\
data: {data}
model: {model}
losses: {losses}
optimizer: {optimizer}
evaluation: {evaluation}
search: {{trials: 2, max_epochs: 1}}
"""
RIGHT = {
    "data": "{kind: digits, train_images: 100}",
    "model": "{kind: mlp}",
    "losses": "{cross_entropy: {on: clean}}",
    "optimizer": "{kind: sgd, lr: {uniform: [0.1, 0.2]}}",
    "evaluation": "{noise: {kind: gaussian, std: 0.3}}",
}


class Mistake(NamedTuple):
    group: str  # a line of the search file
    written: str  # its value
    code: str  # of parts.py, behind two imports
    parts: tuple[str, ...]  # of the message


def model(code: str, *parts: str, rest: str = "") -> Mistake:
    return Mistake("model", f'{{kind: "parts.py:f"{rest}}}', code, parts)


def term(code: str, *parts: str, rest: str = "") -> Mistake:
    written = f'{{cross_entropy: {{on: clean}}, mine: {{kind: "parts.py:f"{rest}}}}}'
    return Mistake("losses", written, code, parts)


def noise(code: str, *parts: str, rest: str = "") -> Mistake:
    return Mistake("evaluation", f'{{noise: {{kind: "parts.py:f"{rest}}}}}', code, parts)


def metric(code: str, *parts: str, written: str = '"parts.py:f"') -> Mistake:
    evaluation = f"{{noise: {{kind: gaussian, std: 0.3}}, metrics: [clean_accuracy, noisy_accuracy, {written}]}}"
    return Mistake("evaluation", evaluation, code, parts)


def data(code: str, *parts: str) -> Mistake:
    return Mistake("data", '{kind: "parts.py:f"}', code, parts)


MISTAKES = {
    # what cannot be found or imported
    "no such file": Mistake(
        "model",
        '{kind: "part.py:f"}',
        "",
        ("search.yaml:2: model/kind: ", "part.py cannot be read"),
    ),
    "no such module": Mistake(
        "model", '{kind: "no_such_module:f"}', "", ("model/kind: no module 'no_such_module'",)
    ),
    "no such submodule": Mistake(
        "model", '{kind: "json.nothing:f"}', "", ("model/kind: ", "No module named 'json.nothing'")
    ),
    "no such name": model("def g(): pass", "parts.py has no 'f'; it has g"),
    "syntax error": model("def f(:", "parts.py:3: SyntaxError"),
    "import that is missing": model("import absent_package", "parts.py:3: ModuleNotFoundError"),
    "error at import": model("1 / 0", "parts.py:3: ZeroDivisionError: division by zero"),
    "not a part": model("f = 3", "parts.py:f is 3; a model is a function or a class"),
    # what cannot be a setting
    "argument without anything": model(
        "def f(num_classes, width): pass",
        "parts.py:3: f: ",
        "'width' is none of num_classes, in_channels, image_size",
        "neither annotation nor default",
    ),
    "argument of another type": model(
        "def f(layer: nn.Module): pass",
        "parts.py:3: f: ",
        "'layer' is none of",
        "is no number, word or list",
    ),
    "annotation that is missing": model(
        "def f(width: 'Width'): pass",
        "parts.py:3: f: an annotation cannot be read (name 'Width' is not defined)",
    ),
    "argument that is ours": term(
        "def f(logits, weight: float = 1.0): pass",
        "parts.py:3: f: 'weight' is a setting of tunebox; rename it",
    ),
    "argument like a property of terms": term(
        "def f(logits, num_copies: int = 2): return logits.sum()",
        "parts.py:3: f: 'num_copies' is a setting of tunebox; rename it",
    ),
    # values
    "value of the wrong type": model(
        "def f(num_classes, width: int = 8): pass", "model/width: got 'wide'", rest=", width: wide"
    ),
    "value out of range": model(
        "from typing import Annotated\nfrom pydantic import Field\ndef f(num_classes, width: Annotated[int, Field(gt=3)] = 8): pass",
        "model/width: got 2",
        "greater than 3",
        rest=", width: 2",
    ),
    "unknown argument": model(
        "def f(num_classes, width: int = 8): pass",
        "model/wide: unknown key; did you mean width? the keys here are kind, train, layer_decay, head, width",
        rest=", wide: 3",
    ),
    "argument that is missing": model(
        "def f(num_classes, width: int): pass", "model/width: is missing; add it"
    ),
    # models
    "model that fails": model(
        "def f(num_classes):\n    return nn.Linear(64, num_classes, 1, 2, 3, 4)",
        "model: ",
        "parts.py:3: f: line 4: TypeError: ",
    ),
    "no module": model("def f(num_classes): return 3", "expected a torch.nn.Module, got int"),
    "model without a linear layer": model(
        "def f(num_classes): return nn.Flatten()", "no linear layer has 10 outputs"
    ),
    "model of the wrong size": model(
        "def f(num_classes): return nn.Sequential(nn.Flatten(), nn.Linear(32, num_classes))",
        "it fails on images (2, 1, 8, 8): ",
    ),
    "model with a softmax": model(
        "def f(num_classes): return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes), nn.Softmax(1))",
        "not what its linear layer '1' returns: leave out what comes after",
    ),
    "model of the wrong shape": model(
        "def f(num_classes): return nn.Linear(8, num_classes)",
        "it returns (2, 1, 8, 10), expected logits (2, 10)",
    ),
    "head that is not there": model(
        "def f(num_classes): return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))",
        "no layer 'fc' in the network; its linear layers are 1",
        rest=", head: fc",
    ),
    # terms
    "loss that is no scalar": term(
        "def f(logits, labels): return logits.sum(1)",
        "losses/mine: ",
        "parts.py:3: f: returns (4,), expected a scalar",
    ),
    "loss that is not finite": term(
        "def f(logits): return logits.sum() / 0", "expected a finite number"
    ),
    "loss without a gradient": term(
        "def f(logits): return logits.detach().mean()", "returns a value without a gradient"
    ),
    "loss that is a number": term("def f(logits): return 1.0", "returns float, expected a Tensor"),
    "loss that fails": term(
        "def f(logits, labels):\n    return logits[labels, 99]", "parts.py:3: f: line 4: IndexError"
    ),
    "loss that fails at the other end of a weight": Mistake(
        "losses",
        '{cross_entropy: {on: clean}, mine: {kind: "parts.py:f", weight: {uniform: [0, 1]}}}',
        "def f(logits): return logits.sum(1)",
        ("returns (4,), expected a scalar",),
    ),
    "forward with an argument that nobody gives": term(
        "class f(nn.Module):\n    def forward(self, logits, scale): pass",
        "forward has the argument 'scale'; it can get step, features, logits",
    ),
    "class of a loss that is no module": term(
        "class f:\n    def __init__(self, num_classes): pass",
        "a class of a loss term is a torch.nn.Module, got f",
    ),
    # noises
    "noise that changes the shape": noise(
        "def f(images, generator): return images[:, :, 1:]",
        "evaluation/noise: ",
        "returns (4, 1, 7, 8), expected the shape (4, 1, 8, 8)",
    ),
    "noise in place": noise(
        "def f(images, generator): return images.add_(0.1)", "changes its input in place"
    ),
    "noise that is not finite": noise("def f(images, generator): return images / 0", "not finite"),
    "noise that returns nothing": noise(
        "def f(images, generator): images + 1", "returns NoneType, expected a Tensor"
    ),
    # metrics
    "metric that returns a tensor": metric(
        "def f(logits, labels): return logits.mean()",
        "evaluation/metrics: ",
        "returns a tensor, expected a number: float(value)",
    ),
    "metric that returns words": metric(
        "def f(logits, labels): return 'good'", "returns str, expected a number"
    ),
    "metric with a wrong cadence": metric(
        "def f(logits, labels): return 1.0",
        "evaluation/metrics/cadence: got 'weekly'",
        written='{kind: "parts.py:f", cadence: weekly}',
    ),
    "metric with the name of ours": metric(
        "def f(logits, labels): return 1.0",
        "'clean_accuracy' is there twice",
        written='{kind: "parts.py:f", name: accuracy}',
    ),
    # data sets, optimizers
    "data set that is a list of numbers": data(
        "def f(): return [1, 2, 3]", "data: ", "gives an image and a label by number"
    ),
    "data set with unlike images": data(
        "def f(): return [(torch.rand(1, 8, n), 0) for n in (8, 9)]",
        "all images need one shape, got (1, 8, 8) and (1, 8, 9)",
    ),
    "images out of range": data(
        "def f(): return [(torch.rand(1, 8, 8) * 255, n % 2) for n in range(20)]",
        "float images lie in [0, 1]",
    ),
    "optimizer that is none": Mistake(
        "optimizer",
        '{kind: "parts.py:f"}',
        "def f(params, lr: float = 0.1): return lr",
        ("optimizer: ", "returns float, expected a torch.optim.Optimizer"),
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_with_the_place_and_what_was_expected(
    name: str, tmp_path: Path
) -> None:
    mistake = MISTAKES[name]
    (tmp_path / "parts.py").write_text(HEAD + mistake.code, encoding="utf-8")
    file = tmp_path / "search.yaml"
    file.write_text(FILE.format(**{**RIGHT, mistake.group: mistake.written}), encoding="utf-8")
    with pytest.raises(TuneboxError) as caught:
        check_own_parts(load_spec(str(file)))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{file}:{1 + list(RIGHT).index(mistake.group)}: {mistake.group}")
    for part in mistake.parts:
        assert part in message
