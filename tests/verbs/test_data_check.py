"""The pass over the data before a search, a training, and in the commands that check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import tunebox
from tests.command_line import run_tunebox
from tests.data.image_files import png, random
from tunebox.data.inspection import Inspection
from tunebox.data.sets.image_folder import ImageFolderSettings
from tunebox.errors import DataError
from tunebox.spec.load import load_spec
from tunebox.verbs.data_check import check_folds, note_validation, write_bad_files
from tunebox.verbs.doctor import _inspect
from tunebox.verbs.findings import Finding, findings_in

SEARCH_FILE = """\
# Which learning rate?
data: {kind: image_folder, root: pictures, image_size: 8}
model: {kind: mlp, width: 8, depth: 1, feature_dim: 4}
losses: {cross_entropy: {on: clean}}
optimizer: {kind: sgd, lr: {uniform: [0.01, 0.1]}}
evaluation: {noise: {kind: gaussian, std: 0.1}}
search: {trials: 2, max_epochs: 1, min_epochs: 1}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A search file beside a folder of 12-bit images, of which one is cut short."""
    for number in range(24):
        path = tmp_path / "pictures" / "train" / ("cat", "dog")[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(random((8, 8), 4095, seed=number)))
    cut = tmp_path / "pictures/train/dog/05.png"
    cut.write_bytes(cut.read_bytes()[:90])
    (tmp_path / "s.yaml").write_text(SEARCH_FILE, encoding="utf-8")
    skipping = SEARCH_FILE.replace("size: 8}", "size: 8, bad_files: skip}")
    (tmp_path / "skip.yaml").write_text(skipping, encoding="utf-8")
    return tmp_path


def assert_one_line(done: Any, start: str) -> None:
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {start}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("verb", [("search",), ("train",), ("spaces", "check", "--data")], ids=str)
def test_a_damaged_file_is_one_line_before_anything_starts(
    verb: tuple[str, ...], home: Path
) -> None:
    if verb == ("train",):
        fixed = SEARCH_FILE.replace("{uniform: [0.01, 0.1]}", "0.1")
        (home / "s.yaml").write_text(fixed, encoding="utf-8")
    done = run_tunebox(*verb, "s.yaml", cwd=home)
    assert_one_line(done, "1 of 24 images cannot be read: pictures/train/dog/05.png is damaged (")
    assert not list(home.glob("results/*/*"))


def test_spaces_check_says_that_a_folder_is_absent(home: Path) -> None:
    (home / "pictures").rename(home / "photos")
    done = run_tunebox("spaces", "check", "s.yaml", cwd=home)
    assert (done.returncode, done.stderr) == (0, "")
    warning, valid = done.stdout.splitlines()[:2]
    assert warning.startswith("warning: pictures/train: no such folder; data/root must hold ")
    assert valid.startswith("s.yaml is valid: ")
    done = run_tunebox("spaces", "check", "s.yaml", "--data", cwd=home)
    assert_one_line(done, "pictures/train: no such folder")


def test_spaces_check_says_what_is_in_the_data(home: Path) -> None:
    done = run_tunebox("spaces", "check", "skip.yaml", "--data", cwd=home)
    assert (done.returncode, done.stderr) == (0, "")
    found, bad, depth = done.stdout.splitlines()[:3]
    assert found == ("data: 23 images in 2 classes: 23 PNG L of 16 bits; 23 of 8x8 pixels")
    assert bad.startswith("warning: 1 of 24 images cannot be read: pictures/train/dog/05.png is da")
    assert depth.endswith("write bits: 12")


def test_doctor_says_the_same(home: Path) -> None:
    def findings(**changes: Any) -> list[tuple[str, str]]:
        root = str(home / "pictures")
        data = ImageFolderSettings(kind="image_folder", root=root, image_size=8, **changes)
        return [(one.level, one.text) for one in _inspect(data, None)]

    [(level, text)] = findings()
    assert (level, text[:40]) == ("error", "1 of 24 images cannot be read: " + str(home)[:9])
    levels = [level for level, _ in findings(bad_files="skip")]
    assert levels == ["ok", "warning", "warning"]


@pytest.mark.slow
def test_a_search_records_what_it_found_and_left_out(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    lines: list[str] = []
    result = tunebox.search("skip.yaml", address="none", name="s", note=lines.append)
    head = [line for line in lines if line.startswith(("data: ", "warning: "))]
    assert head[0] == "data: 23 images in 2 classes: 23 PNG L of 16 bits; 23 of 8x8 pixels"
    assert head[2].endswith("if that is the depth of the sensor, write bits: 12")
    [left_out] = result.folder.bad_files.read_text(encoding="utf-8").splitlines()
    assert left_out.startswith("pictures/train/dog/05.png\tis damaged (")

    [folder] = tunebox.export("s", pick="knee", to=home / "exported").folders
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "Found in the files: 23 images in 2 classes: 23 PNG L of 16 bits" in card
    assert "| 1 | dog |" in card
    described = json.loads((folder / "model.json").read_bytes())
    assert (described["classes"], described["input"]["bits"]) == (["cat", "dog"], 16)
    assert sum(described["data"]["num_images"].values()) < 23  # without the test set
    model = tunebox.load_model(folder)
    assert set(model.predict(torch.rand(3, 1, 8, 8)).classes) <= {"cat", "dog"}

    (home / "pictures/train/cat").rename(home / "pictures/train/kitten")
    with pytest.raises(DataError, match=r"does not know: kitten; it knows cat, dog"):
        tunebox.evaluate(folder)


def test_an_older_list_goes_when_nothing_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "bad_files.txt"
    path.write_text("x", encoding="utf-8")
    write_bad_files([], path)
    assert not path.exists()
    write_bad_files([], path)


def test_spaces_check_as_json(home: Path) -> None:
    done = run_tunebox("spaces", "check", "skip.yaml", "--data", "--json", cwd=home)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["searched_leaves"] == ["optimizer/lr"]
    assert found["data"]["found"].startswith("23 images in 2 classes: ")
    [bad] = found["data"]["bad_files"]
    assert bad["name"] == "pictures/train/dog/05.png"
    assert bad["reason"].startswith("is damaged (")
    assert len(found["samples"]) == 5
    assert all(0.01 <= one["optimizer/lr"] <= 0.1 for one in found["samples"])


def test_findings_are_read_back_from_lines() -> None:
    printed = "ok       versions  tunebox 0.1.0, ray 2\nerror    data      x: is  damaged\nother\n"
    assert list(findings_in(printed)) == [
        Finding("ok", "versions", "tunebox 0.1.0, ray 2"),
        Finding("error", "data", "x: is  damaged"),
    ]


def validation_lines(
    changes: dict[str, Any], inspection: Inspection | None = None, **more: Any
) -> list[str]:
    lines = list[str]()
    file = {
        "model": {"kind": "mlp", "width": 8},
        "losses": {"cross_entropy": {"on": "clean"}},
        "optimizer": {"kind": "sgd", "lr": {"uniform": [0.01, 0.1]}},
        "data": {"kind": "digits"},
        "evaluation": {"noise": {"kind": "gaussian", "std": 0.1}},
        **changes,
        **more,
    }
    note_validation(load_spec(file), inspection or Inspection(), lines.append)
    return lines


def test_a_validation_part_in_which_an_image_weighs_as_much_as_a_seed_is_said() -> None:
    assert validation_lines({}) == []  # 288 images
    [line] = validation_lines({"data": {"kind": "digits", "validation_fraction": 0.07}})
    assert "has 101 images, so one image is 0.99 points of accuracy" in line
    assert "evaluation/cross_validation: 5" in line
    pictures = {"data": {"kind": "image_folder", "root": "no", "image_size": 8}}
    [line] = validation_lines(pictures, Inspection(num_images=600))
    assert "has 96 images" in line  # a fifth is the test set, a fifth of the rest for validation
    [line] = validation_lines(pictures, Inspection(num_images=600, num_validation=50))
    assert "has 50 images" in line
    assert validation_lines(pictures) == []  # nothing is known
    train_loss = {"train_loss": {"direction": "minimize", "reference": 3.0}}
    few = {"data": {"kind": "digits", "validation_fraction": 0.07}}
    assert validation_lines(few, objectives=train_loss) == []


def test_the_cost_of_a_cross_validation_is_said() -> None:
    evaluation = {"noise": {"kind": "gaussian", "std": 0.1}, "cross_validation": 4}
    [line] = validation_lines({"evaluation": evaluation})
    assert "trains 4 models, each on about 1,078 images of 3 folds; an epoch takes 4 times" in line
    small = {"kind": "digits", "train_images": 120}
    _, steps = validation_lines({"evaluation": evaluation, "data": small})
    assert "120 images" in steps
    assert "cross_validation: 5" not in steps


def test_what_cannot_be_divided_into_folds_is_refused_before_a_trial(home: Path) -> None:
    text = SEARCH_FILE.replace("std: 0.1}", "std: 0.1}, cross_validation: 12")
    text = text.replace("root: pictures", f"root: {home / 'pictures'}, bad_files: skip")
    (home / "folds.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="fewer than the 12 folds"):
        check_folds(load_spec(str(home / "folds.yaml")).trial_config({"optimizer/lr": 0.05}))
