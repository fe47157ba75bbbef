"""The card of an exported model: its settings, its metrics, and how to use it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import yaml

from tunebox import __version__
from tunebox.decisions.confirmed import ConfirmedTrial
from tunebox.metrics.catalogue import MEASURED
from tunebox.records.markdown import code, table, text
from tunebox.records.standalone import Standalone
from tunebox.spec.own_trial import OwnTrialConfig
from tunebox.spec.space import Values
from tunebox.spec.trial_config import TrialConfig
from tunebox.spec.trial_kinds import AnyTrialConfig
from tunebox.text import printable, shell_command

_ONE_LINE = 10**6  # characters, so that no value is broken at a space
_PACKAGES = ("torch", "torchvision")
_OF_VALIDATION = (
    "Measured on the **validation** part. Settings are selected by these numbers, so they "
    "tend to be optimistic. `tunebox evaluate` on the folder of a model gives numbers on the "
    "test set, by which nothing was selected."
)
_OF_FOLDS = (
    "Means over the {folds} folds of a **cross-validation**: each fold is the validation set of a "
    "model that was trained on the other folds. The weights are those of the first fold's model. "
    "`tunebox train trial.yaml` without `cross_validation` trains one model. Settings are selected "
    "by these numbers, so they tend to be optimistic. `tunebox evaluate` on the folder of a model "
    "gives its numbers on the test set, by which nothing was selected."
)
_OF_OWN_LOOP = (
    "As the loop measured them. Settings are selected by these numbers, so they tend to be "
    "optimistic: measure on data by which nothing was selected."
)

_LOADING = {
    "torch_export": ["import torch", "", 'model = torch.export.load("model.pt2").module()'],
    "torchscript": ["import torch", "", 'model = torch.jit.load("model.torchscript")'],
    "onnx": [
        "import onnxruntime",
        "",
        'session = onnxruntime.InferenceSession("model.onnx")',
        '[logits] = session.run(["logits"], {"images": images})  # images: a NumPy array',
    ],
}


@dataclass(frozen=True)
class CardFacts:
    """What a card says of a trained model.

    Attributes:
        epochs: Number of epochs trained.
        metrics: Metrics of the last epoch on the validation set.
        weights: Weights as in `write_model_folder`; None if the folder has none.
        standalone: The file that needs no tunebox, if there is one.
        search: Name of the search, whose report has the same numbers; None if there is none.
    """

    epochs: int
    metrics: Mapping[str, float]
    weights: Mapping[str, Any] | None
    standalone: Standalone | None = None
    search: str | None = None


def model_card(
    config: AnyTrialConfig,
    facts: CardFacts,
    *,
    title: str,
    origin: str,
    settings: Values,
    has_code: bool = False,
    confirmed: ConfirmedTrial | None = None,
) -> str:
    """Return the card in Markdown, with the head that model hubs read.

    Args:
        config: Config of the trial.
        facts: What is known of the trained model.
        title: Title of the card, one line.
        origin: One sentence that names the search and the trial, or the file.
        settings: Values that the search chose; empty if nothing was searched.
        has_code: Whether the folder has code of the user's own.
        confirmed: What the same settings reached with other seeds, if they were trained again.
    """
    is_own, weights = isinstance(config, OwnTrialConfig), facts.weights
    measured = {name: f"{value:.6g}" for name, value in facts.metrics.items()}
    lines = [
        *_head(config, facts, title),
        f"# {text(title)}",
        "",
        f"{_what(config, weights)} {text(origin)} Trained for {facts.epochs} epochs.",
        "",
        "## Metrics of the last epoch",
        "",
        _where_measured(config),
        "",
        *table(("metric", "value"), measured),
        "",
        *_report_line(facts.search),
        *_confirmed_section(confirmed),
        *_data_section(config, weights),
        *_classes_section(weights),
        *_settings_section(settings),
        *(_own_use_section(weights) if is_own else _use_section(facts, has_code)),
        "## Made with",
        "",
        ", ".join([f"tunebox {__version__}", *(f"{name} {version(name)}" for name in _PACKAGES)]),
        "",
    ]
    return "\n".join(lines)


def _where_measured(config: AnyTrialConfig) -> str:
    """Return on which images the metrics were measured."""
    if isinstance(config, OwnTrialConfig):
        return _OF_OWN_LOOP
    folds = config.evaluation.cross_validation
    return _OF_VALIDATION if folds is None else _OF_FOLDS.format(folds=folds)


def _head(config: AnyTrialConfig, facts: CardFacts, title: str) -> list[str]:
    """Return the lines of YAML before the card: the metadata of Hugging Face's model cards."""
    head: dict[str, Any] = {"license": "unknown", "library_name": "tunebox"}
    if isinstance(config, TrialConfig):
        kind = printable(config.data.kind)
        found = [
            {
                "type": "accuracy" if name.endswith("accuracy") else printable(name),
                "name": f"{printable(name)} on the validation set",
                "value": value,
            }
            for name, value in facts.metrics.items()
            if math.isfinite(value) and name not in MEASURED and not name.startswith("train_")
        ]
        results = {
            "task": {"type": "image-classification"},
            "dataset": {"type": kind, "name": kind},
            "metrics": found,
        }
        head |= {
            "pipeline_tag": "image-classification",
            "tags": ["image-classification", "robustness"],
            "metrics": ["accuracy"],
            **(
                {"model-index": [{"name": printable(title), "results": [results]}]} if found else {}
            ),
        }
    return ["---", _yaml(head), "---", ""]


def _yaml(content: dict[str, Any]) -> str:
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=_ONE_LINE)
    return str(text).rstrip()


def _report_line(search: str | None) -> list[str]:
    if search is None:
        return []
    command = shell_command("tunebox", "report", search, "--open")
    return [
        "The report of the search has these numbers beside those of all its trials, with the "
        f"learning curves and the settings that matter: {code(command)}.",
        "",
    ]


def _confirmed_section(confirmed: ConfirmedTrial | None) -> list[str]:
    if confirmed is None:
        return []
    rows = {}
    for part, means in (("validation", confirmed.means), ("test", confirmed.test_means)):
        for name, mean in means.items():
            width = f" ± {mean.half_width:.2g}" if math.isfinite(mean.half_width) else ""
            rows[f"{name} on {part}"] = f"{mean.value:.4g}{width}"
    collapsed = f" ({confirmed.num_collapsed} collapsed)" if confirmed.num_collapsed else ""
    number = "one new seed" if confirmed.num_seeds == 1 else f"{confirmed.num_seeds} new seeds"
    return [
        "## The same settings with other seeds",
        "",
        f"Means over {number}{collapsed}, with half the widths of their 95 % intervals, by "
        "`tunebox confirm`. The weights here are of another training.",
        "",
        *table(("metric", "mean"), rows),
        "",
    ]


def _data_section(config: AnyTrialConfig, weights: Mapping[str, Any] | None) -> list[str]:
    if not isinstance(config, TrialConfig):
        return []
    found = (weights or {}).get("found")
    return [
        "## Data",
        "",
        *([f"Found in the files: {text(found)}.", ""] if found else []),
        *table(("setting", "value"), {k: str(v) for k, v in config.data.model_dump().items()}),
        "",
        f"Noise of the evaluation: {code(str(config.evaluation.noise.model_dump()))}, "
        f"{config.evaluation.num_draws} draws, seed {config.evaluation.seed}.",
        "",
    ]


def _classes_section(weights: Mapping[str, Any] | None) -> list[str]:
    names = (weights or {}).get("class_names")
    if names is None:
        return []
    rows = {str(number): name for number, name in enumerate(names)}
    return ["## Classes", "", *table(("output", "class"), rows), ""]


def _what(config: AnyTrialConfig, weights: Mapping[str, Any] | None) -> str:
    if isinstance(config, OwnTrialConfig):
        return f"A run of the training loop {code(config.trial)}."
    kind = text(config.model.kind)
    if weights is None:
        return f"The settings of a {kind} classifier."
    shape = "x".join(str(weights[side]) for side in ("channels", "height", "width"))
    return f"A {kind} classifier of {shape} images into {weights['num_classes']} classes."


def _own_use_section(weights: Mapping[str, Any] | None) -> list[str]:
    again = "`tunebox train trial.yaml` trains the same settings again."
    if weights is None:
        return ["## Weights", "", f"The loop has saved none, or they were not kept. {again}", ""]
    return [
        "## Use",
        "",
        "What the loop saved last, with `checkpoint.save(..)`:",
        "",
        "```python",
        "import torch",
        "",
        'saved = torch.load("weights.pt", weights_only=True)["saved"]',
        "```",
        "",
        again,
        "",
    ]


def _use_section(facts: CardFacts, has_code: bool) -> list[str]:
    weights = facts.weights
    if weights is None:
        return [
            "## Weights",
            "",
            "None are here: a search keeps them for the trials on its front.",
            "`tunebox train trial.yaml` makes them, by a training to full length.",
            "",
        ]
    shape = ", ".join(str(weights[side]) for side in ("channels", "height", "width"))
    trust = ", trust_code=True" if has_code else ""
    note = ["It needs the code in `code/`, which runs only if you ask for it.", ""]
    return [
        "## Input and output",
        "",
        f"Images are float32 in [0, 1], of shape (N, {shape}): N images with channels, height and "
        f"width. The values of a file are divided by its white, {2 ** weights.get('bits', 8) - 1} "
        "in the images of the training. The normalisation is part of the model. The output is one "
        "logit for each class; their softmax gives probabilities. `model.json` says the same to "
        "programs.",
        "",
        "## Use",
        "",
        "```python",
        "import tunebox",
        "",
        f'model = tunebox.load_model("path/to/this/folder"{trust})  # on the CPU, in eval mode',
        f"logits = model(images)  # float images in [0, 1], (N, {shape})",
        "classes, probabilities = model.predict(images)",
        "```",
        "",
        *(note if has_code else []),
        "`tunebox predict path/to/this/folder IMAGES` does it for files, and says which of them "
        "are unlike the images of the training. `tunebox train trial.yaml` trains the same "
        "settings again.",
        "",
        *_standalone_section(facts.standalone),
    ]


def _standalone_section(standalone: Standalone | None) -> list[str]:
    if standalone is None:
        return []
    name = standalone.path.name
    return [
        "## Without tunebox",
        "",
        f"`{name}` gives the same logits: they differed by at most {standalone.difference:.2g} on "
        f"{standalone.num_images} random images when it was written. It does **not** check its "
        "input: an image of another range or type gives a wrong answer without a word.",
        "",
        "```python",
        *_LOADING[standalone.format],
        "```",
        "",
    ]


def _settings_section(settings: Values) -> list[str]:
    if not settings:
        return []
    rows = {path: str(value) for path, value in settings.items()}
    return ["## Settings that the search chose", "", *table(("setting", "value"), rows), ""]
