"""Data sets of every kind that tunebox reads, as `tests.foreign_files` has other files."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any


def make_image(folder: Path) -> Path:
    from PIL import Image

    generator = random.Random(0)
    for part in ("a", "b"):
        (folder / "train" / part).mkdir(parents=True)
        for number in range(3):
            image = Image.frombytes("RGB", (9, 7), generator.randbytes(9 * 7 * 3))
            image.save(folder / "train" / part / f"{number}.png")
    return folder / "train" / "a" / "0.png"


def read_images(folder: Path) -> object:
    from tunebox.data.sets.image_folder import ImageFolderSettings

    return ImageFolderSettings(kind="image_folder", root=str(folder), image_size=8).build("train")


def make_idx(folder: Path) -> Path:
    raw = bytes((0, 0, 8, 3)) + b"".join(n.to_bytes(4, "big") for n in (2, 3, 4)) + bytes(24)
    (folder / "images-idx3-ubyte.gz").write_bytes(gzip.compress(raw))
    return folder / "images-idx3-ubyte.gz"


def read_idx(folder: Path) -> object:
    from tunebox.data.idx import read_idx

    return read_idx(folder / "images-idx3-ubyte.gz")


def _write_images(folder: Path) -> list[bytes]:
    from PIL import Image

    generator = random.Random(0)
    contents = []
    for number in range(12):
        image = Image.frombytes("RGB", (9, 7), generator.randbytes(9 * 7 * 3))
        image.save(folder / f"{number}.png")
        contents.append((folder / f"{number}.png").read_bytes())
    return contents


def make_table(folder: Path) -> Path:
    _write_images(folder)
    parts = ["train", "validation", "test"]
    rows = [f"{number}.png,{'ab'[number % 2]},{parts[number % 3]}" for number in range(12)]
    path = folder / "labels.csv"
    path.write_text("\n".join(["path,label,part", *rows]), encoding="utf-8")
    return path


def read_table(folder: Path) -> object:
    from tunebox.data.sets.table import TableSettings

    file = str(folder / "labels.csv")
    return _read(TableSettings(kind="table", file=file, image_size=8))


def make_parquet_images(folder: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    schema = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    images = [{"bytes": content, "path": "x.png"} for content in _write_images(folder)]
    table = pa.table({"image": images, "label": [0, 1] * 6}).replace_schema_metadata(schema)
    pq.write_table(table, folder / "train-0.parquet")
    return folder / "train-0.parquet"


def read_parquet_images(folder: Path) -> object:
    from tunebox.data.sets.parquet import ParquetSettings

    return _read(ParquetSettings(kind="parquet", root=str(folder), image_size=8))


def make_npz(folder: Path) -> Path:
    import numpy as np

    draws = np.random.default_rng(0)
    arrays = {}
    for part in ("train", "val", "test"):
        arrays[f"{part}_images"] = draws.integers(0, 256, (6, 9, 9, 3), dtype=np.uint8)
        arrays[f"{part}_labels"] = np.array([[0], [1]] * 3)
    np.savez_compressed(folder / "set.npz", **arrays)  # type: ignore[arg-type]
    return folder / "set.npz"


def read_npz(folder: Path) -> object:
    from tunebox.data.sets.npz import NpzSettings

    return _read(NpzSettings(kind="npz", file=str(folder / "set.npz")))


def _read(settings: Any) -> object:
    from tunebox.data.parts import load_test_part, load_training_parts

    settings.inspect()
    return load_training_parts(settings), load_test_part(settings)


def make_corruptions(folder: Path) -> Path:
    import numpy as np

    np.save(folder / "fog.npy", np.arange(5 * 16, dtype=np.uint8).reshape(5, 4, 4))
    np.save(folder / "labels.npy", np.arange(5, dtype=np.uint8) % 3)
    return folder / "fog.npy"


def read_corruptions(folder: Path) -> object:
    from tests.training.tiny_model import tiny_model
    from tunebox.training.corruption_rows import corruption_file_rows

    return corruption_file_rows(tiny_model(), folder, (1, 4, 4))
