"""A training by Lightning, which is searched by ``search.yaml`` beside it."""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

Batch = tuple[Tensor, Tensor]


class Digits(lightning.LightningModule):  # type: ignore[misc]
    """A classifier of handwritten digits that knows nothing of tunebox."""

    def __init__(self, width: int, lr: float) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
        self.lr = lr

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Return the loss of a batch."""
        return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def validation_step(self, batch: Batch, index: int) -> None:
        """Log the accuracy and the loss."""
        logits = self.network(batch[0])
        self.log("accuracy", (logits.argmax(1) == batch[1]).float().mean())
        self.log("loss", nn.functional.cross_entropy(logits, batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return torch.optim.AdamW(self.parameters(), lr=self.lr)


def train(
    config: dict[str, Any], *, seed: int, max_epochs: int, device: torch.device, checkpoint: Any
) -> Iterator[dict[str, float]]:
    """Let Lightning train an epoch at a time, and yield what the module logged.

    Lightning goes on from its own checkpoint, which has the optimizer's state too.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    lightning.seed_everything(seed, verbose=False)
    model = Digits(config["width"], config["lr"])
    training, validation = loaders(config["batch_size"])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "last.ckpt"
        saved = checkpoint.load()
        if saved is not None:
            torch.save(saved["lightning"], file)
        for epoch in range(checkpoint.epoch, max_epochs):
            lightning.seed_everything(seed + epoch, verbose=False)  # the order of the batches
            trainer = make_trainer(device, epoch + 1)
            trainer.fit(model, training, validation, ckpt_path=file if file.exists() else None)
            trainer.save_checkpoint(file)
            checkpoint.save(lightning=torch.load(file, weights_only=True))
            yield {name: trainer.callback_metrics[name].item() for name in ("accuracy", "loss")}


def make_trainer(device: torch.device, max_epochs: int) -> lightning.Trainer:
    """Return a trainer that writes and prints nothing by itself."""
    return lightning.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        max_epochs=max_epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def loaders(batch_size: int) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Return the batches for training and for validation."""
    data = load_digits()
    images = torch.tensor(data.data / 16, dtype=torch.float32)
    labels = torch.tensor(data.target)
    return (
        DataLoader(TensorDataset(images[:1200], labels[:1200]), batch_size, shuffle=True),
        DataLoader(TensorDataset(images[1200:], labels[1200:]), 600),
    )
