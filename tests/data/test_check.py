from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tunebox.data import download, files
from tunebox.data.sets.digits import DigitsSettings
from tunebox.data.sets.image_folder import ImageFolderSettings
from tunebox.data.sets.torchvision import TorchvisionSettings
from tunebox.data.settings import check_data, prepare_data
from tunebox.errors import DataError

KINDS = ["mnist", "fashion_mnist", "cifar10", "cifar100", "svhn"]


def message_of(settings: Any, check: Any = check_data) -> str:
    with pytest.raises(DataError) as caught:
        check(settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


def write_files(settings: TorchvisionSettings) -> None:
    """Empty files with the right names, in the first folder that is searched."""
    folder = files.searched_folders(settings)[0]
    folder.mkdir(parents=True, exist_ok=True)
    for name in files._LAYOUT[settings.kind][1]:
        (folder / name).touch()


def test_digits_are_always_there() -> None:
    check_data(DigitsSettings(kind="digits"))
    prepare_data(DigitsSettings(kind="digits"))


@pytest.mark.parametrize("kind", KINDS)
def test_absent_files(kind: Any, tmp_path: Path) -> None:
    settings = TorchvisionSettings(kind=kind, root=str(tmp_path))
    message = message_of(settings)
    assert message.startswith(f"{kind} is not in {tmp_path}")
    assert "data/download: true" in message
    assert message_of(settings, prepare_data) == message
    write_files(settings)
    check_data(settings)


def test_one_absent_file_is_enough(tmp_path: Path) -> None:
    settings = TorchvisionSettings(kind="cifar10", root=str(tmp_path))
    write_files(settings)
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").unlink()
    message_of(settings)


def test_absent_fashion_mnist_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(files, "DEBIAN_FASHION_MNIST", tmp_path / "debian")
    message = message_of(TorchvisionSettings(kind="fashion_mnist"))
    assert str(tmp_path / ".cache/tunebox/FashionMNIST/raw") in message
    assert str(tmp_path / "debian") in message
    assert "apt-get install dataset-fashion-mnist" in message


def test_failing_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("Error downloading:\nno route")

    monkeypatch.setattr(download, "_download_with_torchvision", fail)
    settings = TorchvisionSettings(kind="svhn", root=str(tmp_path / "new"), download=True)
    message = message_of(settings, prepare_data)
    assert "svhn could not be downloaded" in message
    assert "Error downloading: no route" in message
    assert "check the network" in message


def test_root_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = TorchvisionSettings(kind="svhn", root=str(tmp_path / "file"), download=True)
    assert "could not be downloaded" in message_of(settings, prepare_data)


def test_download_happens_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def pretend(settings: TorchvisionSettings, root: str) -> None:
        calls.append(root)
        write_files(settings)

    monkeypatch.setattr(download, "_download_with_torchvision", pretend)
    settings = TorchvisionSettings(kind="svhn", root=str(tmp_path), download=True)
    prepare_data(settings)
    prepare_data(settings)
    download.download(settings)  # as a process that waited for the lock
    assert calls == [str(tmp_path)]


def make_folders(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "image.PNG").touch()


def folder_settings(root: Path) -> ImageFolderSettings:
    return ImageFolderSettings(kind="image_folder", root=str(root), image_size=8)


def test_image_folder(tmp_path: Path) -> None:
    settings = folder_settings(tmp_path)
    assert f"{tmp_path / 'train'}: no such folder" in message_of(settings)
    make_folders(tmp_path, "train/cat")
    assert "found 1 class folder(s), expected at least 2" in message_of(settings)
    make_folders(tmp_path, "train/dog")
    check_data(settings)
    make_folders(tmp_path, "test/cat")
    check_data(settings)  # a class without test images is not measured
    make_folders(tmp_path, "test/cow")
    assert "test has class folders that train has not: cow" in message_of(settings)
    (tmp_path / "test" / "cow").rename(tmp_path / "test" / "dog")
    check_data(settings)
    (tmp_path / "train" / "dog" / "image.PNG").unlink()
    assert f"{tmp_path / 'train' / 'dog'}: holds no images" in message_of(settings)


def test_check_imports_no_torch() -> None:
    code = "import sys, tunebox.data.settings; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_may_be_downloaded_need_not_be_there(kind: Any, tmp_path: Path) -> None:
    check_data(TorchvisionSettings(kind=kind, root=str(tmp_path / "none"), download=True))
    assert not (tmp_path / "none").exists()
