"""Every training method at equal effort on Fashion-MNIST: the table of docs/methods-table.md.

    python -m benchmarks.methods_table --results methods.jsonl [--device cuda ..]

The methods, and the ranges of their settings, are the branches of
``search_spaces/fashion_mnist_methods.yaml``. Each method has the same number of random settings.
The best of them has the highest mean of clean and noisy accuracy on validation images; it is
trained again with other seeds, and these trainings are measured on test images. Each training is a
line of ``--results``; a line that is there is not trained again. At the end the table is printed.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.recordings import table_line
from tunebox.data.parts import OpenedParts, open_test_part, open_training_parts
from tunebox.data.stored_set import AnyImageSet
from tunebox.metrics.apgd import ApgdSettings
from tunebox.metrics.certified import CertifiedSettings
from tunebox.metrics.pgd import PgdSettings
from tunebox.metrics.settings import ModelMetricSettings
from tunebox.noise.corruptions import COMMON, OF_COLOR, SEVERITIES, CorruptionSettings
from tunebox.noise.gaussian import GaussianSettings
from tunebox.noise.settings import NoiseSettings
from tunebox.spec.load import load_spec, shipped_folder
from tunebox.spec.sample import value_at
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Choice
from tunebox.spec.trial_config import TrialConfig
from tunebox.spec.yaml_source import read_yaml
from tunebox.training.evaluate import (
    Batch,
    accuracy_and_loss,
    clean_batches,
    evenly,
    measured,
    noisy_batches,
)
from tunebox.training.trial_run import TrialRun

SPACE = shipped_folder() / "fashion_mnist_methods.yaml"
STDS = (0.1, 0.3, 0.5)
BATCH_SIZE = 500
SEED_OF_TEST = 0  # of the noise on test images, which is the same for all models


@dataclass(frozen=True)
class Job:
    """A training: a method, the number of its random setting, and the seed of the weights."""

    method: str
    setting: int
    seed: int


class TestImages:
    """What a finished model is measured on; every perturbed copy is made once."""

    def __init__(self, images: AnyImageSet, arguments: argparse.Namespace) -> None:
        self.images = images
        self.few = arguments.attacked_images
        self.copies: dict[str, list[list[Batch]]] = {
            "clean": [list(clean_batches(images, BATCH_SIZE))]
        }
        for std in STDS:
            noise = GaussianSettings(kind="gaussian", std=std)
            self.copies[f"gaussian {std}"] = [self._copy(images, noise)]
        corrupted = evenly(images, arguments.corrupted_images)
        self.copies["corruptions"] = [
            self._copy(corrupted, CorruptionSettings.model_validate({"kind": n, "severity": s}))
            for n in COMMON
            if n not in OF_COLOR
            for s in SEVERITIES
        ]

    def _copy(self, images: AnyImageSet, noise: NoiseSettings) -> list[Batch]:
        batches = noisy_batches(
            images, noise.build(), seed=SEED_OF_TEST, num_draws=1, batch_size=BATCH_SIZE
        )
        return list(batches)

    def measure(self, run: TrialRun) -> dict[str, float]:
        """Return the columns of the table, shares in [0, 1]."""
        model = run.model
        found = {
            name: statistics.mean(accuracy_and_loss(model, batches)[0] for batches in copies)
            for name, copies in self.copies.items()
        }
        parts: list[ModelMetricSettings] = [
            PgdSettings(kind="pgd", norm="l2", epsilon=0.5, steps=20, images=self.few),
            ApgdSettings(
                kind="apgd", norm="l2", epsilon=0.5, steps=20, targets=9, images=self.few // 2
            ),
            CertifiedSettings(
                kind="certified", std=0.25, radius=0.25, samples=100, images=self.few // 2
            ),
        ]
        for part in parts:
            found |= measured(model, self.images, part, seed=SEED_OF_TEST, batch_size=BATCH_SIZE)
        return found


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    spec = load_space(arguments)
    results = read_results(arguments.results)
    if not arguments.table:
        train_all(spec, results, arguments)
    print_table(spec, results, arguments)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--results", type=Path, required=True, help="a JSON line a training")
    parser.add_argument("--settings", type=int, default=5, help="random ones of each method")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of the best one")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--train-images", type=int, default=1000)
    parser.add_argument("--validation-images", type=int, default=500)
    parser.add_argument("--test-images", type=int, default=1000)
    parser.add_argument("--corrupted-images", type=int, default=200, help="for each corruption")
    parser.add_argument(
        "--attacked-images",
        type=int,
        default=200,
        help="by PGD; half of them by APGD, and certified",
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="train nothing")
    return parser.parse_args()


def load_space(arguments: argparse.Namespace) -> SearchSpec:
    data: dict[str, Any] = dict(read_yaml(SPACE).data)
    data["data"] = data["data"] | {"train_images": arguments.train_images}
    data["model"] = data["model"] | {"width": arguments.width}
    data["training"] = data["training"] | {"batch_size": arguments.batch_size}
    return load_spec(data)


def methods_of(spec: SearchSpec) -> list[str]:
    leaf = next(leaf for leaf in spec.space.leaves if leaf.path == "losses")
    assert isinstance(leaf.distribution, Choice)
    return [str(option) for option in leaf.distribution.options]


def setting_of(spec: SearchSpec, job: Job) -> TrialConfig:
    """Return the random setting; which it is depends on its number and its method alone."""
    draw = random.Random(f"{job.method} {job.setting}")
    values = spec.space.draw(
        lambda leaf: (
            job.method if leaf.path == "losses" else value_at(leaf.distribution, draw.random())
        )
    )
    return spec.trial_config(values)


def train_all(
    spec: SearchSpec, results: dict[Job, dict[str, Any]], arguments: argparse.Namespace
) -> None:
    config = spec.first_trial()
    assert isinstance(config, TrialConfig)
    parts = open_training_parts(config.data)
    parts = OpenedParts(parts.train, evenly(parts.validation, arguments.validation_images))
    test = TestImages(
        evenly(open_test_part(config.data), arguments.test_images).to(arguments.device), arguments
    )
    for job in jobs(spec, results, arguments):
        start = time.process_time()
        config = setting_of(spec, job)
        run = TrialRun(
            config, seed=job.seed, max_epochs=arguments.epochs, device=arguments.device, parts=parts
        )
        reports = [run.run_epoch() for _ in range(arguments.epochs)]
        trained = time.process_time()
        line = {
            "method": job.method,
            "setting": job.setting,
            "seed": job.seed,
            "settings": config.model_dump(include={"losses", "optimizer"}, mode="json"),
            "validation": {n: v for n, v in reports[-1].items() if math.isfinite(v)},
            "test": test.measure(run) if job.seed > 0 else {},
            "seconds_of_training": trained - start,
            "seconds": time.process_time() - start,
        }
        results[job] = line
        with arguments.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def jobs(
    spec: SearchSpec, results: dict[Job, dict[str, Any]], arguments: argparse.Namespace
) -> Iterator[Job]:
    """Give the trainings that are not done; the best setting is known once all others are."""
    methods = methods_of(spec)
    for setting in range(arguments.settings):
        for method in methods:
            if (job := Job(method, setting, 0)) not in results:
                yield job
    for seed in range(1, arguments.seeds + 1):
        for method in methods:
            job = Job(method, best_setting(results, method, arguments.settings), seed)
            if job not in results:
                yield job


def read_results(path: Path) -> dict[Job, dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = [json.loads(line) for line in lines]
    return {Job(line["method"], line["setting"], line["seed"]): line for line in found}


def best_setting(results: dict[Job, dict[str, Any]], method: str, num_settings: int) -> int:
    return max(range(num_settings), key=lambda number: score(results[Job(method, number, 0)]))


def score(line: dict[str, Any]) -> float:
    validation = line["validation"]
    return float(validation["clean_accuracy"] + validation["noisy_accuracy"]) / 2


COLUMNS = {
    "clean": "clean",
    **{f"gaussian {std}": f"Gaussian {std}" for std in STDS},
    "corruptions": "corruptions",
    "pgd_accuracy": "PGD",
    "apgd_accuracy": "APGD",
    "certified_accuracy": "certified",
}


def print_table(
    spec: SearchSpec, results: dict[Job, dict[str, Any]], arguments: argparse.Namespace
) -> None:
    """Print mean and standard deviation over the seeds, in percent, and the time of training."""
    print(table_line(["method", *COLUMNS.values(), "seconds"]))
    print(table_line(["---"] * (len(COLUMNS) + 2)))
    for method in methods_of(spec):
        number = best_setting(results, method, arguments.settings)
        lines = [results[Job(method, number, seed)] for seed in range(1, arguments.seeds + 1)]
        cells = [cell([line["test"][name] for line in lines]) for name in COLUMNS]
        seconds = statistics.mean(line["seconds_of_training"] for line in lines)
        print(table_line([f"`{method}`", *cells, f"{seconds:.1f}"]))
    total = sum(line["seconds"] for line in results.values())
    print(f"\n{len(results)} trainings, {total / 60:.0f} minutes of CPU")


def cell(values: Sequence[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):.1f} ± {100 * spread:.1f}"


if __name__ == "__main__":
    main()
