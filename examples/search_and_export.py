"""Search a few settings in this process, export the most robust model, and classify with it.

    python examples/search_and_export.py OUT

The search file is a dict, the events of the search are counted as they come.
"""

import sys
from collections import Counter
from pathlib import Path

import torch
from sklearn.datasets import load_digits

import tunebox
from tunebox.decisions.events import Event

SEARCH_FILE = {
    "data": {"kind": "digits", "train_images": 600},
    "model": {"kind": "mlp", "width": {"choice": [16, 32]}, "feature_dim": 16},
    "losses": {
        "cross_entropy": {"on": "both"},
        "noise": {"kind": "gaussian", "std": {"uniform": [0.1, 0.9]}},
    },
    "optimizer": {"kind": "sgd", "lr": {"log_uniform": [0.02, 0.2]}},
    "evaluation": {"noise": {"kind": "gaussian", "std": 0.5}},
    "search": {"trials": 6, "max_epochs": 4},
}


def main(out: Path) -> None:
    """Write the search and the exported model into ``out``."""
    events: Counter[str] = Counter()

    def count(event: Event) -> None:
        events[type(event).__name__] += 1

    result = tunebox.search(
        SEARCH_FILE, name="example", out=str(out), address="none", on_event=count
    )
    print(f"{events['Ended']} trials ended after {events['Reported']} epochs")

    tunebox.export(result.name, out=str(out), pick="best:noisy_accuracy", to=out / "exported")
    [folder] = (out / "exported").iterdir()
    model = tunebox.load_model(folder)
    digits = load_digits()
    images = torch.tensor(digits.images[:200] / 16, dtype=torch.float32).unsqueeze(1)
    predicted = model(images).argmax(1)
    correct = (predicted == torch.tensor(digits.target[:200])).float().mean().item()
    print(f"trial {folder.name} classifies {correct:.0%} of 200 digits correctly")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
