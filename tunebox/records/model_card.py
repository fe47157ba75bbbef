"""The card of an exported model: what it is, what it scored on which part, how to use it."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from tunebox import __version__
from tunebox.spec.space import Values
from tunebox.spec.trial_config import TrialConfig

_PACKAGES = ("torch", "torchvision")


def model_card(
    config: TrialConfig,
    *,
    title: str,
    origin: str,
    settings: Values,
    epochs: int,
    metrics: Mapping[str, float],
    weights: Mapping[str, Any] | None,
) -> str:
    """Return the card in Markdown.

    Args:
        config: Of the trial.
        title: One line.
        origin: One sentence: from which search and trial, or from which file.
        settings: What the search chose; empty when nothing was searched.
        epochs: That it was trained.
        metrics: Of the last epoch, on the validation part.
        weights: As they are in the folder, see `write_model_folder`; None: they are not.
    """
    lines = [
        f"# {title}",
        "",
        f"{_what(config, weights)} {origin} Trained for {epochs} epochs.",
        "",
        "## Metrics of the last epoch",
        "",
        "Measured on the **validation** part. Settings are selected by these numbers, so they "
        "tend to be optimistic. `tunebox evaluate` on the folder of a model gives numbers on the "
        "test part, by which nothing was selected.",
        "",
        *_table(("metric", "value"), {name: f"{value:.6g}" for name, value in metrics.items()}),
        "",
        "## Data",
        "",
        *_table(("setting", "value"), {k: str(v) for k, v in config.data.model_dump().items()}),
        "",
        f"Noise of the evaluation: `{config.evaluation.noise.model_dump()}`, "
        f"{config.evaluation.num_draws} draws, seed {config.evaluation.seed}.",
        "",
        *_settings_section(settings),
        *_use_section(weights),
        "## Made with",
        "",
        ", ".join([f"tunebox {__version__}", *(f"{name} {version(name)}" for name in _PACKAGES)]),
        "",
    ]
    return "\n".join(lines)


def _what(config: TrialConfig, weights: Mapping[str, Any] | None) -> str:
    if weights is None:
        return f"The settings of a {config.model.kind} classifier."
    shape = "x".join(str(weights[side]) for side in ("channels", "height", "width"))
    return (
        f"A {config.model.kind} classifier of {shape} images into {weights['num_classes']} classes."
    )


def _use_section(weights: Mapping[str, Any] | None) -> list[str]:
    if weights is None:
        return [
            "## Weights",
            "",
            "None are here: a search keeps them for the trials on its front.",
            "`tunebox train trial.yaml` makes them, by a training to full length.",
            "",
        ]
    shape = ", ".join(str(weights[side]) for side in ("channels", "height", "width"))
    return [
        "## Use",
        "",
        "```python",
        "import tunebox",
        "",
        'model = tunebox.load_model("path/to/this/folder")  # on the CPU, in eval mode',
        f"logits = model(images)  # float images in [0, 1], (N, {shape})",
        "```",
        "",
        "`tunebox train trial.yaml` trains the same settings again.",
        "",
    ]


def _settings_section(settings: Values) -> list[str]:
    if not settings:
        return []
    rows = {path: str(value) for path, value in settings.items()}
    return ["## Settings that the search chose", "", *_table(("setting", "value"), rows), ""]


def _table(heads: tuple[str, str], rows: Mapping[str, str]) -> list[str]:
    def cells(*texts: str) -> str:
        return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"

    return [cells(*heads), "|---|---|", *(cells(name, value) for name, value in rows.items())]
