"""Predictions of files are those of the images as the training reads them."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import tunebox
from tests.command_line import run_tunebox
from tests.data.image_files import png, random, tiff
from tunebox.data.facts import DataFacts
from tunebox.data.image_set import to_unit_range
from tunebox.data.parts import load_test_part, load_training_parts
from tunebox.data.sets.image_folder import ImageFolderSettings
from tunebox.errors import TuneboxError
from tunebox.models.build import build_classifier
from tunebox.records.model_folder import write_model_folder
from tunebox.records.model_json import describe_model
from tunebox.spec.load import load_spec
from tunebox.spec.write import trial_yaml

NAMES = ("cat", "cow", "dog")
Make = Callable[[int], bytes]


def deep(seed: int, most: int) -> bytes:
    return png(random((9, 7), most, seed))


def clear(seed: int) -> bytes:
    return png(random((9, 7, 4), 255, seed))


def floats(seed: int) -> bytes:
    return tiff((random((9, 7), 255, seed) / 64).astype(np.float32))


KINDS: dict[str, tuple[Make, str, dict[str, Any]]] = {
    "grey": (lambda seed: deep(seed, 255), "png", {}),
    "16 bits": (lambda seed: deep(seed, 65535), "png", {}),
    "12 bits in 16": (lambda seed: deep(seed, 4095), "png", {"bits": 12}),
    "colours": (lambda seed: png(random((7, 9, 3), 255, seed)), "png", {}),
    "colours made grey": (lambda seed: png(random((7, 9, 3), 255, seed)), "png", {"channels": 1}),
    "grey as colours": (lambda seed: deep(seed, 255), "png", {"channels": 3}),
    "transparent": (clear, "png", {"background": 0.5}),
    "floats": (floats, "tif", {"range": [0.0, 4.0]}),
}


def make_images(root: Path, make: Make, suffix: str) -> None:
    for part in ("train", "test"):
        for number, name in enumerate(NAMES):
            (root / part / name).mkdir(parents=True)
            for index in range(3):
                content = make(100 * number + 10 * index + (part == "test"))
                (root / part / name / f"{index}.{suffix}").write_bytes(content)


def make_model(to: Path, root: Path, **options: Any) -> ImageFolderSettings:
    """Write a model of random weights for the images in ``root``, as a training leaves it."""
    spec = load_spec(
        {
            "data": {"kind": "image_folder", "root": str(root), "image_size": 6, **options},
            "model": {"kind": "mlp", "width": 8, "depth": 1, "feature_dim": 4},
            "losses": {"cross_entropy": {"on": "clean"}},
            "optimizer": {"kind": "sgd", "lr": 0.1},
            "evaluation": {"noise": {"kind": "gaussian", "std": 0.3}},
            "search": {"max_epochs": 1},
        }
    )
    config = spec.trial_config({})
    parts = load_training_parts(config.data)
    channels, height, width = parts.train.image_shape
    sides: dict[str, Any] = {"channels": channels, "height": height, "width": width}
    shape = {**sides, "num_classes": 3}
    mean, std = parts.train.channel_mean_std()
    model = build_classifier(config.model, **shape, mean=mean, std=std, seed=2)
    weights = {
        **shape,
        "bits": parts.train.bits,
        "class_names": list(NAMES),
        "data": DataFacts.of(parts).as_dict(),
        "model": model.state_dict(),
    }
    write_model_folder(
        to,
        trial_yaml=trial_yaml(spec, {}, "A trial"),
        weights=weights,
        card="",
        description=describe_model(config, weights, epochs=1, metrics={}),
    )
    assert isinstance(config.data, ImageFolderSettings)
    return config.data


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_read_as_in_the_training(tmp_path: Path, kind: str) -> None:
    make, suffix, options = KINDS[kind]
    root = tmp_path / "pictures"
    make_images(root, make, suffix)
    data = make_model(tmp_path / "model", root, **options)
    test = load_test_part(data)
    model = tunebox.load_model(tmp_path / "model")
    expected = model.predict(to_unit_range(test.images, test.bits))
    result = tunebox.predict(tmp_path / "model", [root / "test"])
    assert [p.file.relative_to(root / "test").parts[0] for p in result.predictions] == [
        NAMES[label] for label in test.labels
    ]
    assert [p.class_name for p in result.predictions] == expected.classes
    found = torch.tensor([list(p.probabilities.values()) for p in result.predictions])
    torch.testing.assert_close(found, expected.probabilities)
    assert all(tuple(p.probabilities) == NAMES for p in result.predictions)
    assert (result.bad, result.warnings) == ([], [])
    note = "has colours, which are made grey"
    grey = kind == "colours made grey"
    assert {note in prediction.unlike for prediction in result.predictions} == {grey}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    make_images(home / "pictures", lambda seed: deep(seed, 255), "png")
    make_model(home / "model", home / "pictures")
    return home


def test_bad_files_are_a_line_each_and_the_others_are_predicted(made: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image", encoding="utf-8")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "half.png").write_bytes(deep(1, 255)[:60])
    (tmp_path / "none").mkdir()
    good = made / "pictures" / "test" / "cat" / "0.png"
    names = ("text.png", "empty.png", "half.png", "absent.png", "none")
    files = [*(tmp_path / name for name in names), good]
    result = tunebox.predict(made / "model", files)
    assert [prediction.file for prediction in result.predictions] == [good]
    reasons = {Path(bad.name).name: str(bad) for bad in result.bad}
    assert reasons.keys() == set(names)
    assert "is no image of a known format" in reasons["text.png"]
    assert "is empty" in reasons["empty.png"]
    assert "is damaged" in reasons["half.png"]
    assert "No such file" in reasons["absent.png"]
    assert "is a folder without images" in reasons["none"]
    assert not any("\n" in reason for reason in reasons.values())


def test_images_unlike_the_training_are_marked(made: Path, tmp_path: Path) -> None:
    dark = Image.fromarray(random((9, 7), 255) // 40)
    buffer = io.BytesIO()
    dark.save(buffer, "PNG")
    (tmp_path / "dark.png").write_bytes(buffer.getvalue())
    (tmp_path / "deep.png").write_bytes(deep(3, 4095))  # 12 bits of 16: nearly black
    result = tunebox.predict(made / "model", [tmp_path])
    assert [prediction.file.name for prediction in result.predictions] == ["dark.png", "deep.png"]
    for prediction in result.predictions:
        odd = [phrase.split()[0] for phrase in prediction.unlike]
        assert odd[-2:] == ["brightness", "contrast"]


def test_a_model_without_a_record_of_its_images_says_so(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "model", tmp_path / "model")
    content = json.loads((tmp_path / "model" / "model.json").read_bytes())
    content["data"].pop("sha256")
    content.pop("crc")
    from tunebox.records.files import write_json

    write_json(tmp_path / "model" / "model.json", content)
    result = tunebox.predict(tmp_path / "model", [made / "pictures" / "test" / "dog"])
    assert [p.unlike for p in result.predictions] == [[]] * 3
    assert "no record of the range" in result.warnings[0]


def test_a_folder_without_a_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TuneboxError, match="is not an exported model"):
        tunebox.predict(tmp_path, [tmp_path])


@pytest.mark.slow
def test_the_command_prints_a_table_or_json(made: Path) -> None:
    done = run_tunebox("predict", "model", "pictures/test/cow", "pictures/absent.png", cwd=made)
    assert done.returncode == 1
    assert "pictures/absent.png cannot be opened" in done.stderr
    assert "Traceback" not in done.stderr
    heads, *rows = done.stdout.splitlines()
    assert heads.split() == ["image", "class", "probability", "next"]
    assert [row.split()[0] for row in rows] == [f"pictures/test/cow/{n}.png" for n in range(3)]
    printed = run_tunebox("predict", "model", "pictures/test/cow", "--json", cwd=made)
    assert printed.returncode == 0
    content = json.loads(printed.stdout)
    expected = tunebox.predict(made / "model", [made / "pictures" / "test" / "cow"])
    assert [one["class"] for one in content["predictions"]] == [
        prediction.class_name for prediction in expected.predictions
    ]
    for one, row in zip(content["predictions"], rows, strict=True):
        assert one["probability"] == max(one["probabilities"].values())
        assert f"{one['probability']:.1%}" in row
    assert content["bad_files"] == []
