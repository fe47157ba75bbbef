"""A logged model as MLflow's pyfunc: images in, names of classes and probabilities out.

A copy of this file is part of each logged model, which needs no tunebox: it imports torch, NumPy
and pandas alone. Shapes: N images, C channels, H x W pixels, K classes.
"""

import json
from pathlib import Path
from typing import Any

DESCRIPTION_FILE, NETWORK_FILE = "model.json", "model.pt2"


class ServedModel:
    """What ``mlflow.pyfunc.load_model`` calls."""

    def __init__(self, folder: Path) -> None:
        """Read the network and its description from ``folder``."""
        import torch

        description = json.loads((folder / DESCRIPTION_FILE).read_bytes())
        self._network: Any = torch.export.load(folder / NETWORK_FILE).module()
        self._shape = tuple(description["input"][key] for key in ("channels", "height", "width"))
        numbers = map(str, range(description["output"]["num_classes"]))
        self._names: list[str] = list(description.get("classes") or numbers)

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Return a pandas frame, a row for each image.

        Args:
            model_input: Images in [0, 1], ``(N, C, H, W)``, float32.
            params: Not used.

        Returns:
            The columns ``class``, its ``probability``, and ``probabilities`` of all classes by
            their names.

        Raises:
            ValueError: The images have another shape or range; says what the model takes.
        """
        import pandas
        import torch

        images = self._checked(model_input)
        with torch.inference_mode():
            shares = self._network(torch.from_numpy(images)).softmax(dim=1)
        best = shares.argmax(dim=1).tolist()
        return pandas.DataFrame(
            {
                "class": [self._names[number] for number in best],
                "probability": shares.amax(dim=1).tolist(),
                "probabilities": [
                    dict(zip(self._names, row, strict=True)) for row in shares.tolist()
                ],
            }
        )

    def _checked(self, model_input: Any) -> Any:
        import numpy as np

        images = np.ascontiguousarray(np.asarray(model_input), dtype=np.float32)
        wanted = f"(N, {', '.join(map(str, self._shape))}), float32 in [0, 1]"
        if images.shape[1:] != self._shape:
            raise ValueError(f"the model takes images of shape {wanted}; got {images.shape}")
        low, high = (float(images.min()), float(images.max())) if images.size else (0.0, 1.0)
        if not (low >= 0 and high <= 1):  # also for NaN
            raise ValueError(
                f"the model takes images of shape {wanted}; got values from {low:g} to {high:g}: "
                "divide by the value of white"
            )
        return images


def _load_pyfunc(data_path: str) -> ServedModel:
    """Return the model; MLflow calls this."""
    return ServedModel(Path(data_path))
