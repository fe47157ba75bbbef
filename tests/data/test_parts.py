"""The division into parts, on the digits and on small files in each data set's own format."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from tunebox.data import files
from tunebox.data.image_set import ImageSet
from tunebox.data.parts import load_test_part, load_training_parts, open_folds
from tunebox.data.sets.digits import DigitsSettings
from tunebox.data.sets.image_folder import ImageFolderSettings
from tunebox.data.sets.torchvision import TorchvisionSettings
from tunebox.data.settings import DataSettings, LabelNoiseSettings
from tunebox.errors import DataError

RNG = np.random.default_rng(0)


def as_rows(image_set: ImageSet) -> set[bytes]:
    return {image.numpy().tobytes() for image in image_set.images}


def digits(**changes: Any) -> DigitsSettings:
    return DigitsSettings(kind="digits", **changes)


def test_digits() -> None:
    parts, test = load_training_parts(digits()), load_test_part(digits())
    sizes = [len(parts.train), len(parts.validation), len(test)]
    assert sum(sizes) == 1797
    assert sizes == [1150, 288, 359]
    assert test.image_shape == (1, 8, 8)
    assert int(test.images.max()) == 255
    assert set(test.images.flatten().tolist()) <= {round(k * 255 / 16) for k in range(17)}
    for part in (parts.train, parts.validation, test):
        shares = torch.bincount(part.labels) / len(part)
        assert (shares - 0.1).abs().max() < 0.01
    assert not as_rows(parts.train) & as_rows(test)
    assert not as_rows(parts.train) & as_rows(parts.validation)


def test_each_fold_is_validated_on_once_and_test_is_left_alone() -> None:
    folds = [fold.resident() for fold in open_folds(digits(), 5)]
    test = load_test_part(digits())
    validated = [as_rows(fold.validation) for fold in folds]
    everything = set().union(*validated)
    assert sum(len(fold.validation) for fold in folds) == 1797 - len(test)
    assert not everything & as_rows(test)
    for fold, own in zip(folds, validated, strict=True):
        assert not own & as_rows(fold.train)
        assert own | as_rows(fold.train) == everything
        assert len(fold.train) + len(fold.validation) == 1797 - len(test)
    again = open_folds(digits(), 5)[0].resident()
    assert torch.equal(again.train.images, folds[0].train.images)
    other = open_folds(digits(split_seed=1), 5)[0].resident()
    assert as_rows(other.validation) != validated[0]


def test_folds_divide_the_images_that_may_be_trained_on() -> None:
    noise = LabelNoiseSettings(kind="symmetric", rate=0.5)
    plain = open_folds(digits(train_images=120), 4)
    noisy = open_folds(digits(train_images=120, label_noise=noise), 4)
    for fold, wrong in zip(plain, noisy, strict=True):
        assert [len(fold.train), len(fold.validation)] == [90, 30]
        assert torch.equal(fold.validation.labels, wrong.validation.labels)
        assert 0.4 < (fold.train.labels != wrong.train.labels).double().mean() < 0.6


def test_data_with_a_validation_part_of_their_own_have_no_folds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = digits().build("train")
    chosen = replace(whole, is_validation=torch.arange(len(whole)) % 5 == 0)
    monkeypatch.setattr(DigitsSettings, "build", lambda self, part: chosen)
    with pytest.raises(DataError, match="cross_validation needs data without a validation set"):
        open_folds(digits(), 3)


def test_test_part_depends_on_the_split_seed_alone() -> None:
    reference = load_test_part(digits())
    for same in (digits(validation_fraction=0.4), digits(train_images=50)):
        assert torch.equal(load_test_part(same).images, reference.images)
        assert not as_rows(load_training_parts(same).train) & as_rows(reference)
    other = load_test_part(digits(split_seed=1))
    assert not torch.equal(other.images, reference.images)


def test_train_images_takes_from_train_and_leaves_validation() -> None:
    whole, small = load_training_parts(digits()), load_training_parts(digits(train_images=100))
    assert torch.equal(small.validation.images, whole.validation.images)
    assert len(small.train) == 100
    assert as_rows(small.train) <= as_rows(whole.train)
    assert torch.bincount(small.train.labels).tolist() == pytest.approx([10] * 10, abs=1)


def test_too_many_train_images_are_refused() -> None:
    with pytest.raises(DataError, match=r"data/train_images is 5000: .* at most 1150 "):
        load_training_parts(digits(train_images=5000))


def write_idx(path: Path, array: np.ndarray) -> None:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    content = bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


Written = tuple[np.ndarray, np.ndarray]  # images (N, C, H, W), labels (N,)


def random_part(num_images: int, channels: int, side: int, num_classes: int = 10) -> Written:
    images = RNG.integers(0, 256, (num_images, channels, side, side), dtype=np.uint8)
    return images, RNG.permutation(np.arange(num_images) % num_classes)


def write_mnist(root: Path, folder: str = "MNIST/raw", suffix: str = "") -> dict[str, Written]:
    parts = {"train": random_part(40, 1, 28), "t10k": random_part(20, 1, 28)}
    for name, (images, labels) in parts.items():
        write_idx(root / folder / f"{name}-images-idx3-ubyte{suffix}", images[:, 0])
        write_idx(root / folder / f"{name}-labels-idx1-ubyte{suffix}", labels)
    return {"train": parts["train"], "test": parts["t10k"]}


def write_fashion_mnist(root: Path) -> dict[str, Written]:
    return write_mnist(root, "FashionMNIST/raw", ".gz")


def write_packed_in_root(root: Path) -> dict[str, Written]:
    return write_mnist(root, "", ".gz")


def write_cifar10(root: Path) -> dict[str, Written]:
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    train, test = random_part(50, 3, 32), random_part(20, 3, 32)
    blocks = {
        f"data_batch_{number + 1}": (train[0][number::5], train[1][number::5])
        for number in range(5)
    }
    for name, (images, labels) in {**blocks, "test_batch": test}.items():
        entry = {"data": images.reshape(len(images), -1), "labels": labels.tolist()}
        (folder / name).write_bytes(pickle.dumps(entry))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    return {
        "train": (
            np.concatenate([images for images, _ in blocks.values()]),
            np.concatenate([labels for _, labels in blocks.values()]),
        ),
        "test": test,
    }


def write_cifar100(root: Path) -> dict[str, Written]:
    folder = root / "cifar-100-python"
    folder.mkdir()
    parts = {"train": random_part(300, 3, 32, 100), "test": random_part(100, 3, 32, 100)}
    for name, (images, labels) in parts.items():
        entry = {"data": images.reshape(len(images), -1), "fine_labels": labels.tolist()}
        (folder / name).write_bytes(pickle.dumps(entry))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [str(k) for k in range(100)]}))
    return parts


def write_svhn(root: Path) -> dict[str, Written]:
    parts = {"train": random_part(40, 3, 32), "test": random_part(20, 3, 32)}
    for name, (images, labels) in parts.items():
        # The files put images last, and call the digit 0 by the label 10.
        content = {
            "X": images.transpose(2, 3, 1, 0),
            "y": np.where(labels == 0, 10, labels)[:, None],
        }
        scipy.io.savemat(root / f"{name}_32x32.mat", content)
    return parts


@pytest.fixture
def _no_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torchvision take files that are not the published ones."""
    from torchvision import datasets

    for cifar in (datasets.CIFAR10, datasets.CIFAR100):
        for name in ("train_list", "test_list"):
            monkeypatch.setattr(cifar, name, [[file, None] for file, _ in getattr(cifar, name)])
        monkeypatch.setattr(cifar, "meta", cifar.meta | {"md5": None})
    published = datasets.SVHN.split_list
    split_list = {part: [url, file, None] for part, (url, file, _) in published.items()}
    monkeypatch.setattr(datasets.SVHN, "split_list", split_list)


@pytest.mark.usefixtures("_no_checksums")
@pytest.mark.parametrize(
    ("kind", "write"),
    [
        ("mnist", write_mnist),
        ("fashion_mnist", write_fashion_mnist),
        ("fashion_mnist", write_packed_in_root),
        ("cifar10", write_cifar10),
        ("cifar100", write_cifar100),
        ("svhn", write_svhn),
    ],
)
def test_torchvision_sets(
    kind: Any, write: Callable[[Path], dict[str, Written]], tmp_path: Path
) -> None:
    written = write(tmp_path)
    settings = TorchvisionSettings(kind=kind, root=str(tmp_path), validation_fraction=0.5)

    test = load_test_part(settings)
    assert test.num_classes == (100 if kind == "cifar100" else 10)
    assert np.array_equal(test.images.numpy(), written["test"][0])
    assert np.array_equal(test.labels.numpy(), written["test"][1])

    parts = load_training_parts(settings)
    labels_of = {image.tobytes(): label for image, label in zip(*written["train"], strict=True)}
    loaded = 0
    for part in (parts.train, parts.validation):
        for image, label in zip(part.images, part.labels, strict=True):
            assert labels_of[image.numpy().tobytes()] == label
            loaded += 1
    assert loaded == len(written["train"][1])


def test_fashion_mnist_where_debian_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(files, "DEBIAN_FASHION_MNIST", tmp_path / "debian")
    written = write_mnist(tmp_path, "debian", ".gz")
    test = load_test_part(TorchvisionSettings(kind="fashion_mnist"))
    assert np.array_equal(test.images.numpy(), written["test"][0])


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_damaged_idx_file_is_named(suffix: str, tmp_path: Path) -> None:
    write_mnist(tmp_path, suffix=suffix)
    victim = tmp_path / "MNIST/raw" / f"train-images-idx3-ubyte{suffix}"
    victim.write_bytes(victim.read_bytes()[:100])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.*remove it and fetch it again"):
        load_training_parts(TorchvisionSettings(kind="mnist", root=str(tmp_path)))


def test_damaged_cifar_is_named(tmp_path: Path) -> None:
    write_cifar10(tmp_path)  # whose checksums are not the published ones
    with pytest.raises(DataError, match=r"has damaged cifar10 files: .*data/download: true"):
        load_training_parts(TorchvisionSettings(kind="cifar10", root=str(tmp_path)))


def write_folder(part: Path, classes: str, num_images: int, size: tuple[int, int]) -> None:
    for number, name in enumerate(classes):
        (part / name).mkdir(parents=True)
        for image in range(num_images):
            pixels = np.full((*size, 3), 20 * number + image, dtype=np.uint8)
            pixels[..., 0] = 200
            Image.fromarray(pixels).save(part / name / f"{image}.png")


def folder_settings(root: Path, **changes: Any) -> ImageFolderSettings:
    return ImageFolderSettings(kind="image_folder", root=str(root), image_size=8, **changes)


@pytest.mark.parametrize("channels", [1, 3])
def test_image_folder_with_a_test_folder(channels: Any, tmp_path: Path) -> None:
    write_folder(tmp_path / "train", "abc", 5, (12, 20))
    write_folder(tmp_path / "test", "abc", 2, (20, 12))
    settings = folder_settings(tmp_path, channels=channels)
    parts, test = load_training_parts(settings), load_test_part(settings)
    assert len(parts.train) + len(parts.validation) == 15
    assert test.images.shape == (6, channels, 8, 8)
    assert test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    if channels == 3:
        assert set(test.images[4].flatten().tolist()) == {40, 200}


def test_image_folder_without_a_test_folder_divides_train(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", "ab", 10, (8, 8))
    settings: DataSettings = folder_settings(tmp_path)
    parts, test = load_training_parts(settings), load_test_part(settings)
    assert [len(parts.train), len(parts.validation), len(test)] == [13, 3, 4]
    assert not as_rows(test) & (as_rows(parts.train) | as_rows(parts.validation))


def test_unreadable_image_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", "ab", 4, (8, 8))
    (tmp_path / "train" / "a" / "0.png").write_text("not an image")
    with pytest.raises(DataError, match=r"a/0\.png is no image of a known format"):
        load_training_parts(folder_settings(tmp_path))
