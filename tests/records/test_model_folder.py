import os
from pathlib import Path

import pytest
import torch

from tests.records.make_log import make_log, make_spec
from tests.records.make_model import NAMES, SHAPE, make_classifier, weights_of
from tests.spec.make_spec import FIXED_FILE, changed, spec_of
from tunebox.errors import DataError, RecordsError
from tunebox.models.base import Classifier
from tunebox.models.build import build_classifier
from tunebox.records.model_folder import load_model, write_model_folder
from tunebox.spec.write import search_yaml, trial_yaml

VALUES = make_log().trials["t000"].settings


def write_model(to: Path) -> Classifier:
    spec = make_spec()
    model = make_classifier(spec, VALUES, seed=5)
    text = trial_yaml(spec, VALUES, "A trial")
    write_model_folder(to, trial_yaml=text, weights=weights_of(model), card="# A card\n")
    return model


def test_the_model_comes_back_as_it_was(tmp_path: Path) -> None:
    model = write_model(tmp_path / "new" / "model")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"model"}
    assert {path.name for path in (tmp_path / "new/model").iterdir()} == {
        *("trial.yaml", "weights.pt", "card.md")
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
    written = trial_yaml(spec, {}, "A trial")
    folder = tmp_path / "model"
    write_model_folder(folder, trial_yaml=written, weights=weights_of(model), card="# A card\n")
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
    write_model(tmp_path / "model")
    path = tmp_path / "model" / "weights.pt"
    content = torch.load(path, weights_only=True)
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

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(RecordsError, match="No space left"):
        write_model(tmp_path / "model")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["trial.yaml", "weights.pt"])
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
def test_damaged_weights_are_one_clear_line(tmp_path: Path, damage: str) -> None:
    write_model(tmp_path / "model")
    path = tmp_path / "model" / "weights.pt"
    content = torch.load(path, weights_only=True)
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

    write_model(tmp_path / "model")
    torch.save(Evil(), tmp_path / "model" / "weights.pt")
    with pytest.raises(RecordsError, match="cannot be read"):
        load_model(tmp_path / "model")
    assert not (tmp_path / "evil").exists()


def test_a_search_file_is_no_fixed_trial(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    (tmp_path / "model/trial.yaml").write_text(search_yaml(make_spec()), encoding="utf-8")
    with pytest.raises(RecordsError, match="has distributions"):
        load_model(tmp_path / "model")
