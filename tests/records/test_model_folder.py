import json
import os
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from tests.records import make_model
from tests.records.make_log import make_log, make_spec
from tests.records.make_model import NAMES, SHAPE, weights_of
from tests.spec.make_spec import FIXED_FILE, changed, spec_of
from tunebox.errors import DataError, RecordsError
from tunebox.models.base import Classifier
from tunebox.models.build import build_classifier
from tunebox.records.files import write_json
from tunebox.records.model_folder import load_model, write_model_folder
from tunebox.records.model_json import describe_model
from tunebox.spec.write import search_yaml, trial_yaml

VALUES = make_log().trials["t000"].settings


def write_model(to: Path) -> Classifier:
    return make_model.write_model(to, make_spec(), VALUES)


def write_old_model(to: Path) -> tuple[Path, dict[str, Any]]:
    """Write a model as version 0.1.0 did; return the file of its weights, and its content."""
    path = make_model.make_old(to, weights_of(write_model(to)))
    return path, torch.load(path, weights_only=True)


def test_the_model_comes_back_as_it_was(tmp_path: Path) -> None:
    model = write_model(tmp_path / "new" / "model")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"model"}
    assert {path.name for path in (tmp_path / "new/model").iterdir()} == {
        *("trial.yaml", "model.safetensors", "model.json", "README.md")
    }
    loaded = load_model(tmp_path / "new" / "model")
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    assert not loaded.training
    assert torch.equal(loaded(images), model(images))


def test_head_of_cosines_comes_back(tmp_path: Path) -> None:
    text = changed("{cross_entropy: {on: clean}}", "{arc_face: {on: clean, scale: 7}}", FIXED_FILE)
    spec = spec_of(text)
    settings = spec.trial_config({})
    scale = settings.losses.cosine_scale
    model = build_classifier(
        settings.model, **SHAPE, mean=[0.3], std=[0.4], seed=5, cosine_scale=scale
    ).eval()
    folder, weights = tmp_path / "model", weights_of(model)
    description = describe_model(settings, weights, epochs=1, metrics={})
    written = trial_yaml(spec, {}, "A trial")
    write_model_folder(
        folder, trial_yaml=written, weights=weights, card="# A\n", description=description
    )
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    loaded = load_model(folder)
    cosines = torch.nn.functional.cosine_similarity(
        loaded.features(images)[:, None], loaded.head.weight[None], dim=2
    )
    torch.testing.assert_close(loaded(images), 7 * cosines)
    assert torch.equal(loaded(images), model(images))


def test_a_model_has_names_of_classes(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.class_names == tuple(NAMES)
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    classes, probabilities = loaded.predict(images)
    assert classes == [NAMES[number] for number in loaded(images).argmax(dim=1)]
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(6))
    with pytest.raises(DataError, match=r"takes images of shape \(N, 1, 8, 8\), float32 in \[0, 1"):
        loaded(images * 255)


def test_a_model_of_version_0_1_0_is_read_with_a_note(tmp_path: Path) -> None:
    path, content = write_old_model(tmp_path / "model")
    old = {key: content[key] for key in content if key not in ("class_names", "bits")}
    torch.save(old, path)
    with pytest.warns(UserWarning, match=r"recorded no names of classes: .* called 0 to 9, in the"):
        loaded = load_model(tmp_path / "model")
    assert loaded.class_names == tuple(map(str, range(10)))
    torch.save({**content, "class_names": None}, path)  # of a data set without names
    assert load_model(tmp_path / "model").class_names == loaded.class_names


def test_an_existing_folder_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    with pytest.raises(RecordsError, match="model exists already"):
        write_model(tmp_path / "model")


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save", full)
    with pytest.raises(RecordsError, match="No space left"):
        write_model(tmp_path / "model")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["trial.yaml", "model.safetensors"])
def test_a_folder_without_a_model_is_an_error(tmp_path: Path, name: str) -> None:
    write_model(tmp_path / "model")
    (tmp_path / "model" / name).unlink()
    with pytest.raises(RecordsError, match=f"not an exported model: it has no {name}"):
        load_model(tmp_path / "model")
    with pytest.raises(RecordsError, match="not an exported model"):
        load_model(str(tmp_path / "absent"))


@pytest.mark.parametrize(
    "damage", ["cut", "empty", "text", "list", "format", "misfit", "lacking", "names", "numbers"]
)
def test_damaged_weights_of_version_0_1_0_are_one_clear_line(tmp_path: Path, damage: str) -> None:
    path, content = write_old_model(tmp_path / "model")
    match damage:
        case "cut":
            path.write_bytes(path.read_bytes()[:500])
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("weights", encoding="utf-8")
        case "list":
            torch.save([1], path)
        case "format":
            torch.save({**content, "format": 2}, path)
        case "misfit":
            torch.save({**content, "num_classes": 3}, path)
        case "names":
            torch.save({**content, "class_names": ["one"]}, path)
        case "numbers":
            torch.save({**content, "class_names": list(range(10))}, path)
        case "lacking":
            torch.save({key: content[key] for key in content if key != "height"}, path)
    with pytest.raises(RecordsError, match=r"weights\.pt") as caught:
        load_model(tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "evil"),)

    path, _ = write_old_model(tmp_path / "model")
    torch.save(Evil(), path)
    with pytest.raises(RecordsError, match="cannot be read"):
        load_model(tmp_path / "model")
    assert not (tmp_path / "evil").exists()


def test_a_search_file_is_no_fixed_trial(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    (tmp_path / "model/trial.yaml").write_text(search_yaml(make_spec()), encoding="utf-8")
    with pytest.raises(RecordsError, match="has distributions"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "text"])
def test_damaged_weights_are_one_clear_line(tmp_path: Path, damage: str) -> None:
    write_model(tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    damaged = {"cut": bytes(content[:500]), "bit": bytes(content), "empty": b"", "text": b"words"}
    path.write_bytes(damaged[damage])
    with pytest.raises(RecordsError, match=r"model\.safetensors .*checksum") as caught:
        load_model(tmp_path / "model")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("input/height", None),
        ("input/height", 9),
        ("input/bits", 1 << 40),
        ("output/num_classes", 3),
        ("classes", ["one"]),
        ("classes", list(range(10))),
        ("files", {}),
        ("format", 2),
    ],
    ids=str,
)
def test_a_description_that_does_not_fit_is_one_clear_line(
    tmp_path: Path, path: str, value: object
) -> None:
    write_model(tmp_path / "model")
    file = tmp_path / "model" / "model.json"
    content = json.loads(file.read_bytes())
    content.pop("crc")
    *parents, name = path.split("/")
    inner = content[parents[0]] if parents else content
    inner[name] = value
    write_json(file, content)
    with pytest.raises(RecordsError, match=r"model\.(safetensors|json)") as caught:
        load_model(tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_tensors_that_share_memory_or_are_spread_are_written(tmp_path: Path) -> None:
    model = make_model.make_classifier(make_spec(), VALUES, seed=5)
    weights = weights_of(model)
    state = weights["model"]
    whole = torch.rand(4, *state["head.weight"].shape)
    state["head.weight"] = whole.transpose(0, 1)[:, 0]  # every fourth row of one memory
    expected = {name: tensor.clone() for name, tensor in state.items()}
    spec = make_spec()
    write_model_folder(
        tmp_path / "model",
        trial_yaml=trial_yaml(spec, VALUES, ""),
        weights=weights,
        card="",
        description=describe_model(spec.trial_config(VALUES), weights, epochs=1, metrics={}),
    )
    found = load_model(tmp_path / "model").state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
