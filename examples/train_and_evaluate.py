"""Train one setting without a search, and measure the model under many perturbations.

python examples/train_and_evaluate.py OUT
"""

import sys
from pathlib import Path

import tunebox

TRIAL_FILE = """\
data: {kind: digits}
model: {kind: mlp, width: 32, feature_dim: 16}
losses:
  cross_entropy: {on: clean}
  discriminative: {weight: 0.5}
  noise: {kind: gaussian, std: 0.4}
optimizer: {kind: sgd, lr: 0.05}
evaluation: {noise: {kind: gaussian, std: 0.5}}
search: {max_epochs: 5}
"""


def main(out: Path) -> None:
    """Write the model and its evaluation into ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "trial.yaml").write_text(TRIAL_FILE, encoding="utf-8")
    store = f"sqlite:///{out / 'mlflow.db'}"
    tunebox.train(str(out / "trial.yaml"), to=str(out / "model"), tracking_uri=store)
    evaluation = tunebox.evaluate(str(out / "model"), tracking_uri=store)
    for row in evaluation.report.rows:
        print(f"{row.perturbation:12} {row.strength:6.3f}  {row.accuracy:7.2%}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
