"""A plain training loop in PyTorch, which is searched by ``search.yaml`` beside it."""

from collections.abc import Iterator
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn


def train(
    config: dict[str, Any], *, seed: int, max_epochs: int, device: torch.device, checkpoint: Any
) -> Iterator[dict[str, float]]:
    """Train a classifier of handwritten digits and yield its metrics after each epoch."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    images, labels, test_images, test_labels = (part.to(device) for part in digits())
    model = nn.Sequential(
        nn.Linear(64, config["width"]),
        nn.ReLU(),
        nn.Dropout(config["dropout"]),
        nn.Linear(config["width"], 10),
    ).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config["lr"])
    size = float(sum(parameter.numel() for parameter in model.parameters()))

    saved = checkpoint.load()
    if saved is not None:  # the trial was paused, or the search was resumed
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        generator.set_state(saved["generator"])
    for _ in range(checkpoint.epoch, max_epochs):
        model.train()
        for batch in torch.randperm(len(labels), generator=generator).to(device).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        checkpoint.save(
            model=model.state_dict(),
            optimizer=optimizer.state_dict(),
            generator=generator.get_state(),
        )
        yield {"accuracy": accuracy(model, test_images, test_labels), "size": size}


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return images and labels, for training and for the measurements."""
    data = load_digits()
    images = torch.tensor(data.data / 16, dtype=torch.float32)
    labels = torch.tensor(data.target)
    return images[:1200], labels[:1200], images[1200:], labels[1200:]


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the share of images classified correctly."""
    model.eval()
    return float((model(images).argmax(1) == labels).float().mean())
