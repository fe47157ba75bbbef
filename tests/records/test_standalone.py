"""Files that need no tunebox give the logits of the model, in a program that does not have it."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.records.make_log import make_log, make_spec
from tests.records.make_model import write_checkpoint
from tunebox.errors import RecordsError
from tunebox.models.base import Classifier
from tunebox.records.export import export_trials
from tunebox.records.files import write_text
from tunebox.records.model_folder import load_model
from tunebox.records.search_folder import create_folder
from tunebox.records.standalone import FILES, FORMATS, checked_format, write_standalone
from tunebox.spec.write import search_yaml

needs_onnx = pytest.mark.skipif(
    not all(find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="needs the extra onnx",
)
SHAPE = (3, 6, 5)

PROGRAM = """
import sys, warnings
import numpy as np
sys.modules["tunebox"] = None  # an import of it fails
path, images, logits = sys.argv[1:]
images = np.load(images)
if path.endswith(".onnx"):
    import onnxruntime
    [found] = onnxruntime.InferenceSession(path).run(["logits"], {"images": images})
else:
    warnings.simplefilter("ignore")
    import torch
    if path.endswith(".pt2"):
        model = torch.export.load(path).module()
    else:
        model = torch.jit.load(path)
    found = model(torch.from_numpy(images)).detach().numpy()
np.save(logits, found)
"""


def classifier(backbone: nn.Module, features: int) -> Classifier:
    torch.manual_seed(3)
    for parameter in backbone.parameters():
        nn.init.normal_(parameter, std=0.3)
    head = nn.Linear(features, 4)
    return Classifier(backbone, head, mean=[0.3, 0.5, 0.1], std=[0.2, 0.4, 0.3]).eval()


def convolutional() -> Classifier:
    layers = (nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Dropout(0.5), nn.Flatten())
    return classifier(nn.Sequential(*layers), 60)


@pytest.mark.slow
@pytest.mark.parametrize(
    "format", ["torch_export", pytest.param("onnx", marks=needs_onnx), "torchscript"]
)
def test_another_program_gets_the_same_logits(tmp_path: Path, format: str) -> None:
    model = convolutional()
    written = write_standalone(model, SHAPE, checked_format(format), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [written.path.name]
    assert written.num_images == 64
    assert 0 <= written.difference < 1e-4
    for count in (1, 7):
        images = torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(count))
        np.save(tmp_path / "images.npy", images.numpy())
        files = [written.path, tmp_path / "images.npy", tmp_path / "logits.npy"]
        subprocess.run([sys.executable, "-c", PROGRAM, *map(str, files)], check=True)
        found = torch.from_numpy(np.load(files[-1]))
        torch.testing.assert_close(found, model(images).detach(), rtol=1e-4, atol=1e-5)


class Branching(nn.Module):
    """Which way it goes depends on the values: no graph has both."""

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        return flat if float(flat.sum()) > 0 else -flat


@pytest.mark.slow
def test_a_network_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match="cannot be written as torch_export: ") as caught:
        write_standalone(classifier(Branching(), 90), SHAPE, "torch_export", tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


class Remembering(nn.Module):
    """The trace has the number that there was when it was made."""

    calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return images.flatten(1) * self.calls


@pytest.mark.slow
def test_a_file_that_gives_other_logits_is_left_out(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match=r"logits that differ by up to .* on 64 images"):
        write_standalone(classifier(Remembering(), 90), SHAPE, "torchscript", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_formats_are_checked_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    assert FILES.keys() == set(FORMATS)
    with pytest.raises(RecordsError, match="no format 'tflite'; choose one of torch_export, onnx"):
        checked_format("tflite")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RecordsError, match=r"pip install 'tunebox\[onnx\]'"):
        checked_format("onnx")


@pytest.mark.slow
def test_an_exported_trial_has_the_file_and_says_so(tmp_path: Path) -> None:
    folder = create_folder(tmp_path / "out", "made-1")
    write_text(folder.search_file, search_yaml(make_spec()))
    trial = make_log(30).front()[0]
    write_checkpoint(folder, trial)
    exported = export_trials(folder, [trial], tmp_path / "exported")
    assert exported.problems == []
    [target] = exported.folders
    images = torch.rand(5, 1, 8, 8)
    found = torch.export.load(target / "model.pt2").module()(images)
    torch.testing.assert_close(found, load_model(target)(images))
    known = json.loads((target / "model.json").read_bytes())["files"]
    assert known["model.pt2"]["format"] == "torch_export"
    assert known["model.pt2"]["compared_on"] == "64 random images"
    assert known["model.pt2"]["largest_difference_of_a_logit"] < 1e-4
    assert len(known["model.pt2"]["sha256"]) == 64
    card = (target / "README.md").read_text(encoding="utf-8")
    assert 'torch.export.load("model.pt2")' in card
    assert "does **not** check its input" in card
