"""Images per second of tunebox's training, beside its floor and a loop as research code has it.

Trained: ``small_conv`` on 28x28 grey images, batch 128, cross-entropy on the clean view and the
discriminative loss with Gaussian noise, so two forwards for each image. Run it with

    python benchmarks/training_step.py [--steps 60] [--rounds 7] [--precision float32]

The three take turns, so that other work on the machine hits all of them; medians are printed.

    python benchmarks/training_step.py --methods [--only pgd trades] [--steps 6] [--rounds 3]

trains with each loss term instead, with its defaults and on one thread, and prints its images per
second of CPU time as a share of what its forwards and backwards alone reach: with the images ready,
a plain cross-entropy, no update. Terms that need a base loss have cross-entropy on the clean view.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from tunebox.data.files import found_folder
from tunebox.data.image_set import ImageSet, to_unit_range
from tunebox.data.parts import TrainingParts, load_training_parts
from tunebox.data.sets.torchvision import TorchvisionSettings
from tunebox.losses.settings import BaseLossSettings, LossesSettings, TermSettings
from tunebox.models.base import Classifier
from tunebox.spec.trial_config import TrialConfig
from tunebox.training.draws import EpochDraws
from tunebox.training.loop import train_epoch
from tunebox.training.trial_run import TrialRun

BATCH_SIZE = 128
STD = 0.06
CPU = torch.device("cpu")


def main() -> None:
    arguments = parse_arguments()
    steps = arguments.steps or (6 if arguments.methods else 60)
    arguments.steps, arguments.rounds = steps, arguments.rounds or (3 if arguments.methods else 7)
    parts, source = load_images(BATCH_SIZE * arguments.steps)
    print(f"images: {source}; torch {torch.__version__}; {arguments.precision}")
    if arguments.methods:
        torch.set_num_threads(1)
        report_methods(parts, arguments)
        return
    for num_threads in (1, 2):
        torch.set_num_threads(num_threads)
        report(num_threads, compare(parts, arguments))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--methods", action="store_true")
    parser.add_argument("--only", nargs="*", metavar="METHOD")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    return parser.parse_args()


def load_images(num_images: int) -> tuple[TrainingParts, str]:
    settings = TorchvisionSettings(kind="fashion_mnist", train_images=num_images)
    if found_folder(settings) is not None:
        return load_training_parts(settings), "Fashion-MNIST"
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (num_images, 1, 28, 28), generator=generator, dtype=torch.uint8)
    labels = torch.randint(10, (num_images,), generator=generator)
    whole = ImageSet(images, labels, num_classes=10)
    return TrainingParts(whole, whole), "random"


NOISE = {"kind": "gaussian", "std": STD}
LOSSES = {"cross_entropy": {"on": "clean"}, "discriminative": {}, "noise": NOISE}


def build_run(
    parts: TrainingParts,
    precision: Literal["float32", "bfloat16"],
    losses: Mapping[str, Any] = LOSSES,
) -> TrialRun:
    config = TrialConfig.model_validate(
        {
            "data": {"kind": "fashion_mnist"},
            "model": {"kind": "small_conv"},
            "losses": losses,
            "optimizer": {"kind": "sgd", "lr": 0.001},
            "training": {"batch_size": BATCH_SIZE, "precision": precision},
            "evaluation": {"noise": NOISE},
        }
    )
    return TrialRun(config, seed=0, max_epochs=1000, device=CPU, parts=parts)


def compare(parts: TrainingParts, arguments: argparse.Namespace) -> dict[str, float]:
    """Return the median images per second of each loop; an image counts once for two views."""
    run = build_run(parts, arguments.precision)
    floor_model = build_run(parts, arguments.precision).model
    research_model = build_run(parts, "float32").model
    research = ResearchLoop(research_model, parts.train)
    research_steps = max(1, arguments.steps // 4)  # slow, so it gets fewer
    loops: dict[str, tuple[Callable[[], None], int]] = {
        "tunebox": (lambda: product_epoch(run), len(parts.train) // BATCH_SIZE),
        "floor": (
            lambda: bare_steps(floor_model, parts.train, arguments.steps, arguments.precision),
            arguments.steps,
        ),
        "research loop": (lambda: research.steps(research_steps), research_steps),
    }
    speeds: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(arguments.rounds + 1):
        for name, (run_steps, num_steps) in loops.items():
            start = time.perf_counter()
            run_steps()
            seconds = time.perf_counter() - start
            if number > 0:  # the first round warms up
                speeds[name].append(num_steps * BATCH_SIZE / seconds)
    return {name: statistics.median(values) for name, values in speeds.items()}


def product_epoch(run: TrialRun) -> None:
    train_epoch(run._trainer, run._train, EpochDraws.of_epoch(0, 0, CPU), 0)


def bare_steps(model: Classifier, train: ImageSet, num_steps: int, precision: str) -> None:
    """Forward and backward of both views, with nothing else: no data, noise, loss, update."""
    batch = train.images[:BATCH_SIZE].to(memory_format=torch.channels_last)
    images = model.normalize(to_unit_range(batch, train.bits))
    labels = train.labels[:BATCH_SIZE]
    for _ in range(num_steps):
        model.zero_grad()
        for _ in range(2):
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                logits = model.head(model.backbone(images))
            torch.autograd.backward(functional.cross_entropy(logits.float(), labels))


class PairDataset(torch.utils.data.Dataset[tuple[Tensor, Tensor, int]]):
    """Two transform pipelines for each image, one of them with noise."""

    def __init__(self, images: ImageSet, mean: float, std: float) -> None:
        from torchvision import transforms

        self.images = images.images.squeeze(1).numpy()
        self.labels = images.labels.tolist()
        start: list[Any] = [transforms.ToPILImage(), transforms.ToTensor()]
        end = transforms.Normalize([mean], [std])
        noise = transforms.Lambda(lambda image: (image + STD * torch.randn_like(image)).clamp(0, 1))
        self.clean = transforms.Compose([*start, end])
        self.noisy = transforms.Compose([*start, noise, end])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        image = self.images[index]
        return self.clean(image), self.noisy(image), self.labels[index]


class ResearchLoop:
    """A data loader, a loss with a loop over classes, ``.item()`` in every step."""

    def __init__(self, model: Classifier, train: ImageSet) -> None:
        self.model = model.to(memory_format=torch.contiguous_format)
        mean, std = train.channel_mean_std()
        self.loader = torch.utils.data.DataLoader(
            PairDataset(train, mean[0], std[0]), BATCH_SIZE, shuffle=True, drop_last=True
        )
        self.optimizer = torch.optim.SGD(
            model.parameters(), lr=0.001, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        self.centroids: dict[int, Tensor] = {}
        self.total = 0.0

    def steps(self, num_steps: int) -> None:
        self.model.train()
        for number, (clean, noisy, labels) in enumerate(self.loader, start=1):
            features = self.model.backbone(clean)
            noisy_features = self.model.backbone(noisy)
            loss = functional.cross_entropy(self.model.head(features), labels)
            loss = loss + self.class_loop_loss(features, noisy_features, labels)
            self.optimizer.zero_grad()
            torch.autograd.backward(loss)
            self.optimizer.step()
            self.total += loss.item()
            if number == num_steps:
                return

    def class_loop_loss(self, features: Tensor, noisy_features: Tensor, labels: Tensor) -> Tensor:
        head: nn.Linear = self.model.head
        classes = sorted(set(labels.tolist()))
        total = features.new_zeros(())
        for label in classes:
            clean, noisy = features[labels == label], noisy_features[labels == label]
            mean = clean.mean(0)
            old = self.centroids.get(label)
            centroid = mean if old is None else 0.01 * mean + 0.99 * old
            self.centroids[label] = centroid.detach()
            for view in (clean, noisy):
                excess = ((view - centroid).norm(dim=1) - 0.5).clamp(min=0)
                total = total + excess.square().mean() / 2
            others = [other for other in range(head.out_features) if other != label]
            rows = head.weight[others] - head.weight[label]
            lead = rows @ mean + head.bias[others] - head.bias[label]
            total = total + (lead / rows.norm(dim=1) + 5).clamp(min=0).max()
            total = total + 0.001 * centroid.norm()
        return total / len(classes)


@dataclass(frozen=True)
class Pass:
    """A forward and what is differentiated of it.

    Attributes:
        kind: ``train`` is differentiated by the weights, ``attack`` by the images, ``chain`` by the
            images and then by the weights; of ``twice``, the gradient of the images is
            differentiated by the weights; ``none`` has no backward.
        copies: How many batches go through the forward.
    """

    kind: Literal["train", "attack", "chain", "twice", "none"]
    copies: int = 1


TRAIN, ATTACK, CHAIN, TWICE, NONE = (
    Pass("train"),
    Pass("attack"),
    Pass("chain"),
    Pass("twice"),
    Pass("none"),
)


def own_passes(kind: str, term: Any) -> list[Pass]:
    """What a term passes through the network beside the views that it looks at."""
    if kind in ("pgd", "atent"):
        return [ATTACK if kind == "pgd" else CHAIN] * term.steps + [TRAIN]
    if kind in ("trades", "agat"):
        return [NONE, *[ATTACK] * term.steps, TRAIN]
    if kind in ("input_gradient", "jacobian", "cure"):
        return [TWICE] * (2 if kind == "cure" else 1)
    if kind in ("smooth_adv", "smooth_mix", "cat_rs"):
        train, attack = Pass("train", term.copies), Pass("attack", term.copies)
        teacher = [Pass("none", term.copies)] if kind == "cat_rs" else []
        return [*teacher, *[attack] * term.steps, train]
    return [NONE] if kind == "nce_align" else []


def passes_of(losses: LossesSettings) -> list[Pass]:
    """All passes of a step."""
    found = [TRAIN] if "clean" in losses.views else []
    if "noisy" in losses.views:
        found.append(Pass("train", losses.num_copies))
    for name, term in losses.terms.items():
        found += own_passes(name, term)
    return found


class PassLoop:
    """Passes of a step, with nothing else: no data, noise, loss term, update."""

    def __init__(self, model: Classifier, train: ImageSet, passes: Sequence[Pass]) -> None:
        self.model = model
        self.passes = passes
        batch = train.images[:BATCH_SIZE].to(memory_format=torch.channels_last)
        images = model.normalize(to_unit_range(batch, train.bits))
        self.images = {
            copies: images.repeat(copies, 1, 1, 1).contiguous(memory_format=torch.channels_last)
            for copies in {one.copies for one in passes}
        }
        self.labels = train.labels[:BATCH_SIZE]

    def steps(self, num_steps: int) -> None:
        for _ in range(num_steps):
            self.model.zero_grad()
            for one in self.passes:
                self.run(one)

    def run(self, one: Pass) -> None:
        self.model.train(one.kind not in ("attack", "twice"))
        images = self.images[one.copies].detach()
        images.requires_grad_(one.kind in ("attack", "chain", "twice"))
        with torch.set_grad_enabled(one.kind != "none"):
            logits = self.model.head(self.model.backbone(images))
            loss = functional.cross_entropy(logits, self.labels.repeat(one.copies))
        if images.requires_grad:
            [gradient] = torch.autograd.grad(
                loss,
                [images],
                retain_graph=one.kind in ("chain", "twice"),
                create_graph=one.kind == "twice",
            )
            loss = gradient.square().sum() if one.kind == "twice" else loss
        if one.kind in ("train", "chain", "twice"):
            torch.autograd.backward(loss)


def losses_with(kind: str) -> dict[str, Any]:
    """The losses of a training with a term, in its defaults."""
    part = TermSettings.kinds()[kind]
    required = {"on": "clean"} if issubclass(part, BaseLossSettings) else {}
    if "epsilon" in part.model_fields and part.model_fields["epsilon"].is_required():
        required["epsilon"] = 8 / 255  # type: ignore[assignment]
    term = part.model_validate({"kind": kind, **required})
    alone = issubclass(part, BaseLossSettings) or kind in ALONE
    base = {} if alone else {"cross_entropy": {"on": "clean"}}
    noise = {"noise": NOISE} if "noisy" in (*term.views, *term.image_views) else {}
    return base | {kind: required} | noise


ALONE = {"pgd", "atent", "macer", "smooth_adv", "cat_rs"}


def report_methods(parts: TrainingParts, arguments: argparse.Namespace) -> None:
    print(f"{'method':26s} {'passes':>6s} {'images/s':>9s} {'alone':>9s} {'share':>6s}")
    for kind in arguments.only or TermSettings.kinds():
        losses = losses_with(kind)
        run = build_run(parts, arguments.precision, losses)
        passes = passes_of(LossesSettings.model_validate(losses))
        alone = PassLoop(build_run(parts, "float32", losses).model, parts.train, passes)
        speeds: dict[str, list[float]] = {"method": [], "alone": []}
        for number in range(arguments.rounds + 1):
            for name, train in (
                ("method", functools.partial(product_epoch, run)),
                ("alone", functools.partial(alone.steps, arguments.steps)),
            ):
                start = time.process_time()
                train()
                seconds = time.process_time() - start
                if number > 0:  # the first round warms up
                    speeds[name].append(arguments.steps * BATCH_SIZE / seconds)
        ours, floor = (statistics.median(values) for values in speeds.values())
        num_passes = sum(one.copies for one in passes)
        print(
            f"{kind:26s} {num_passes:6d} {ours:9.0f} {floor:9.0f} {ours / floor:6.2f}", flush=True
        )


def report(num_threads: int, speeds: dict[str, float]) -> None:
    ours = speeds["tunebox"]
    print(f"{num_threads} thread(s):")
    for name, speed in speeds.items():
        print(f"  {name:14s} {speed:9.0f} images/s   tunebox / {name}: {ours / speed:.2f}")


if __name__ == "__main__":
    main()
