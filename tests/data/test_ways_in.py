"""The same images as a folder, a table, parquet and npz: the same data set comes out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.data.image_files import png, random
from tunebox.data.parts import load_test_part, load_training_parts
from tunebox.data.picture_settings import PictureSettings
from tunebox.data.pixels import fit
from tunebox.data.sets.image_folder import ImageFolderSettings
from tunebox.data.sets.npz import NpzSettings
from tunebox.data.sets.parquet import ParquetSettings
from tunebox.data.sets.table import TableSettings
from tunebox.errors import DataError

SIDE = 6
CLASSES = ("cat", "dog")
Arrays = dict[str, list[tuple[np.ndarray, int]]]  # images and labels of each part


def arrays(most: int = 255, channels: int = 3, seed: int = 0) -> Arrays:
    """Shuffled images of two classes for all three parts."""
    order = np.random.default_rng(seed)
    made: Arrays = {}
    for number, part in enumerate(("train", "validation", "test")):
        labels = order.permutation([0, 1] * 4)
        shape = (9, 7, channels) if channels > 1 else (9, 7)
        made[part] = [
            (random(shape, most, seed=1000 * number + place), int(label))
            for place, label in enumerate(labels)
        ]
    return made


def as_table(root: Path, parts: Arrays, **changes: Any) -> PictureSettings:
    rows = []
    for part, images in parts.items():
        for place, (values, label) in enumerate(images):
            name = f"{part}_{place}.png"
            (root / name).write_bytes(png(values))
            rows.append({"path": name, "label": CLASSES[label], "part": part})
    with (root / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "part"])
        writer.writeheader()
        writer.writerows(rows)
    settings = {"kind": "table", "file": str(root / "labels.csv"), "image_size": SIDE}
    return TableSettings.model_validate({**settings, **changes})


def as_parquet_table(root: Path, parts: Arrays, **changes: Any) -> PictureSettings:
    as_table(root, parts)
    with (root / "labels.csv").open(encoding="utf-8", newline="") as file:
        pq.write_table(pa.Table.from_pylist(list(csv.DictReader(file))), root / "labels.parquet")
    settings = {"kind": "table", "file": str(root / "labels.parquet"), "image_size": SIDE}
    return TableSettings.model_validate({**settings, **changes})


def as_parquet(root: Path, parts: Arrays, **changes: Any) -> PictureSettings:
    features = {"label": {"names": list(CLASSES), "_type": "ClassLabel"}}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    (root / "data").mkdir()
    for part, images in parts.items():
        for number in (0, 1):  # two files a part
            some = images[number * 4 : number * 4 + 4]
            rows = {
                "image": [{"bytes": png(values), "path": "x.png"} for values, _ in some],
                "label": [label for _, label in some],
            }
            table = pa.table(rows).replace_schema_metadata(metadata)
            pq.write_table(table, root / "data" / f"{part}-0000{number}-of-00002.parquet")
    settings = {"kind": "parquet", "root": str(root), "image_size": SIDE}
    return ParquetSettings.model_validate({**settings, **changes})


def as_plain_parquet(root: Path, parts: Arrays, **changes: Any) -> PictureSettings:
    for part, images in parts.items():
        (root / part).mkdir()
        rows = {
            "picture": [png(values) for values, _ in images],
            "what": [CLASSES[label] for _, label in images],
        }
        pq.write_table(pa.table(rows), root / part / "0.parquet")
    settings = {"kind": "parquet", "root": str(root), "image_size": SIDE}
    columns = {"image_column": "picture", "label_column": "what"}
    return ParquetSettings.model_validate({**settings, **columns, **changes})


def as_npz(root: Path, parts: Arrays, **changes: Any) -> PictureSettings:
    stored = {}
    for part, images in parts.items():
        key = "val" if part == "validation" else part
        stored[f"{key}_images"] = np.stack([values for values, _ in images])
        stored[f"{key}_labels"] = np.array([[label] for _, label in images])
    np.savez_compressed(root / "set.npz", **stored)  # type: ignore[arg-type]
    settings: dict[str, Any] = {"kind": "npz", "file": str(root / "set.npz")}
    settings |= {"image_size": SIDE, "class_names": list(CLASSES)}
    return NpzSettings.model_validate({**settings, **changes})


def as_folder(root: Path, images: list[tuple[np.ndarray, int]], **changes: Any) -> PictureSettings:
    """The images of one part as the training set of a folder, in their order within the classes."""
    for place, (values, label) in enumerate(images):
        path = root / "train" / CLASSES[label] / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(values))
    settings = {"kind": "image_folder", "root": str(root), "image_size": SIDE}
    return ImageFolderSettings.model_validate({**settings, **changes})


Write = Callable[..., PictureSettings]
WAYS: list[Write] = [as_table, as_parquet_table, as_parquet, as_plain_parquet, as_npz]


@pytest.mark.parametrize(("most", "bits"), [(255, 8), (65535, 16)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("write", WAYS)
def test_all_ways_give_the_images_of_a_folder(
    write: Write, channels: int, most: int, bits: int, tmp_path: Path
) -> None:
    parts = arrays(most, channels)
    for name in ("in", "train", "validation", "test"):
        (tmp_path / name).mkdir()
    settings = write(tmp_path / "in", parts)
    loaded = load_training_parts(settings)
    found = {"train": loaded.train, "validation": loaded.validation}
    found["test"] = load_test_part(settings)
    for part, images in found.items():
        expected = as_folder(tmp_path / part, parts[part]).build("train")
        order = sorted(range(8), key=lambda place: parts[part][place][1])
        assert torch.equal(images.labels[order], expected.labels)
        given, wanted = images.images[order], expected.images
        assert torch.equal(given.to(torch.int32), wanted.to(torch.int32))
        assert (images.bits, images.class_names) == (bits, CLASSES)
    assert settings.inspect().notes == []
    assert str(settings.inspect().found).startswith("16 images in 2 classes: ")


@pytest.mark.parametrize("write", WAYS)
def test_without_parts_seeded_ones_are_used(write: Write, tmp_path: Path) -> None:
    settings = write(tmp_path, {"train": arrays()["train"]})
    assert settings.seeded_test_fraction == 0.2
    loaded = load_training_parts(settings)
    sizes = [len(part) for part in (loaded.train, loaded.validation, load_test_part(settings))]
    assert sizes == [4, 2, 2]


@pytest.mark.parametrize("write", [as_table, as_parquet, as_npz])
def test_a_given_validation_part_stays_whole(write: Write, tmp_path: Path) -> None:
    parts = arrays()
    del parts["test"]
    order = sorted(range(8), key=lambda place: parts["validation"][place][1])
    expected = np.stack([fit(parts["validation"][place][0], SIDE) for place in order])
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        settings = write(folder, parts, split_seed=seed)
        loaded, test = load_training_parts(settings), load_test_part(settings)
        found = loaded.validation.images[loaded.validation.labels.argsort(stable=True)]
        assert np.array_equal(found.numpy(), expected)
        assert (len(loaded.train), len(test)) == (6, 2)  # the test set is taken from train


def test_npz_images_may_keep_their_size(tmp_path: Path) -> None:
    settings = as_npz(tmp_path, arrays(), image_size=None, class_names=None)
    loaded = load_training_parts(settings).train
    assert loaded.image_shape == (3, 9, 7)
    assert loaded.class_names == ("0", "1")
    expected = np.stack([values for values, _ in arrays()["train"]]).transpose(0, 3, 1, 2)
    assert np.array_equal(loaded.images.numpy(), expected)


def test_float_arrays_need_a_range(tmp_path: Path) -> None:
    parts: Arrays = {
        part: [(values / 255.0, label) for values, label in images]
        for part, images in arrays().items()
    }
    with pytest.raises(DataError, match=r"train_images\[0\] holds float64 values, .* data/range: "):
        as_npz(tmp_path, parts).inspect()
    loaded = load_training_parts(as_npz(tmp_path, parts, range=[0, 1], image_size=None)).train
    unit = loaded.images.to(torch.int32).numpy() / 65535
    expected = np.stack([values for values, _ in parts["train"]]).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(unit, expected, atol=1 / 65535)


def broken(write: Write, root: Path) -> PictureSettings:
    """The third image of train is cut short; in npz, where all are alike, it has NaN."""
    settings = write(root, arrays())
    if write is as_parquet:
        file = root / "data" / "train-00000-of-00002.parquet"
        table = pq.read_table(file)
        rows = table["image"].to_pylist()
        rows[2]["bytes"] = rows[2]["bytes"][:50]
        pq.write_table(table.set_column(0, "image", pa.array(rows)), file)
    else:
        file = root / "train_2.png"
        file.write_bytes(file.read_bytes()[:50])
    return settings


@pytest.mark.parametrize(
    ("write", "name"), [(as_table, r"row 2 of .*labels\.csv\)"), (as_parquet, r"parquet, row 2")]
)
def test_bad_images_are_named_or_left_out(write: Write, name: str, tmp_path: Path) -> None:
    settings = broken(write, tmp_path)
    for read in (settings.inspect, lambda: load_training_parts(settings)):
        with pytest.raises(DataError, match=rf"of \d+ images cannot be read: .*{name} is damaged"):
            read()
    skipping = settings.model_copy(update={"bad_files": "skip"})
    assert len(skipping.inspect().bad) == 1
    assert len(load_training_parts(skipping).train) == 7


TABLES = {
    "path,label\na.png,1\nb.png,2,3\n": r"line 3 has 3 cells, the first line 2",
    "file,label\na.png,1\n": r"has no column 'path', but file, label",
    "path,label\na.png,\n": r"row 0 of the column 'label' holds '', expected a text",
    "path,label,part\na.png,1,later\n": r"row 0 .* holds 'later', expected train, validation and t",
    "path,label\na.png,1\n": r"the 1 images for training are of 1 class\(es\)",
    "": r"has no column 'path', but none",
    "path,label,part\na,1,train\nb,2,train\nc,3,test\n": r"test has classes that train has not: 3",
}


@pytest.mark.parametrize("text", TABLES)
def test_wrong_tables_are_one_line(text: str, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=TABLES[text]) as caught:
        TableSettings(kind="table", file=str(file), image_size=8).check()
    assert str(file) in str(caught.value)


def test_labels_that_are_numbers_are_sorted_as_numbers(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    rows = "".join(f"{number}.png,{number}\n" for number in (10, 2, 1))
    file.write_text(f"path,label\n{rows}", encoding="utf-8")
    settings = TableSettings(kind="table", file=str(file), image_size=8)
    assert settings.listing("train").classes == ("1", "2", "10")
    assert settings.listing("train").labels == (2, 1, 0)


ARRAYS: dict[str, tuple[dict[str, Any], str]] = {
    "no labels": ({"train_images": np.zeros((4, 5, 5))}, "needs train_images and train_labels"),
    "several labels": (
        {"train_images": np.zeros((4, 5, 5)), "train_labels": np.zeros((4, 3))},
        "train_labels are 4x3 for 4 images; one label an image is read",
    ),
    "too few": (
        {"train_images": np.zeros((4, 5, 5)), "train_labels": np.zeros(3)},
        "train_labels are 3 for 4 images",
    ),
    "objects": (
        {"train_images": np.zeros((4, 5, 5)), "train_labels": np.array(["a", None] * 2, object)},
        "holds Python objects",
    ),
    "below zero": (
        {"train_images": np.zeros((4, 5, 5)), "train_labels": np.array([0, -1, 0, 1])},
        "train_labels hold -1; classes count from 0",
    ),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_wrong_arrays_are_one_line(name: str, tmp_path: Path) -> None:
    content, message = ARRAYS[name]
    np.savez(tmp_path / "set.npz", **content)
    with pytest.raises(DataError, match=message) as caught:
        NpzSettings(kind="npz", file=str(tmp_path / "set.npz")).check()
    assert "set.npz" in str(caught.value)


def test_an_array_longer_than_its_file_is_refused(tmp_path: Path) -> None:
    header = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (10**12, 5, 5)}
    np.lib.format.write_array_header_1_0(header, shape)
    np.savez(tmp_path / "set.npz", train_labels=np.zeros(4))
    import zipfile

    with zipfile.ZipFile(tmp_path / "set.npz", "a") as archive:
        archive.writestr("train_images.npy", header.getvalue() + bytes(100))
    with pytest.raises(DataError, match="an array is longer than the file"):
        NpzSettings(kind="npz", file=str(tmp_path / "set.npz")).check()


def test_a_folder_without_train_files_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no train-\*\.parquet; data/root is a folder with"):
        ParquetSettings(kind="parquet", root=str(tmp_path), image_size=8).check()
