"""Folders of images: values, channels and depths of a whole data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torchvision import datasets
from torchvision.transforms import functional

from tests.data.image_files import png, random, tiff
from tunebox.data.image_set import ImageSet, to_unit_range
from tunebox.data.parts import load_test_part, load_training_parts
from tunebox.data.pixels import fit, grey
from tunebox.data.sets.image_folder import ImageFolderSettings
from tunebox.errors import DataError

SIDE = 6


def write(root: Path, name: str, content: bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def folder_settings(root: Path, **changes: Any) -> ImageFolderSettings:
    return ImageFolderSettings(kind="image_folder", root=str(root), image_size=SIDE, **changes)


def write_classes(root: Path, contents: list[bytes], suffix: str = "png") -> None:
    """Put every second content into class a, the others into b."""
    for number, content in enumerate(contents):
        write(root, f"train/{'ab'[number % 2]}/{number:02}.{suffix}", content)


def load(root: Path, **changes: Any) -> ImageSet:
    return folder_settings(root, **changes).build("train")


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_8_bits_are_those_of_torchvision(channels: Any, tmp_path: Path) -> None:
    """Results of earlier versions stay as they are."""
    shapes = [(9, 13, 3), (13, 9, 3), (6, 6, 3), (7, 31, 3), (SIDE, 11, 3), (8, 8, 3)]
    write_classes(tmp_path, [png(random(shape, seed=k)) for k, shape in enumerate(shapes)])

    def expected(image: Any) -> torch.Tensor:
        resized = functional.resize(image.convert("L" if channels == 1 else "RGB"), SIDE)
        made: torch.Tensor = functional.pil_to_tensor(functional.center_crop(resized, SIDE))
        return made

    folder = datasets.ImageFolder(str(tmp_path / "train"), transform=expected)
    found = load(tmp_path, channels=channels)
    assert torch.equal(found.images, torch.stack([image for image, _ in folder]))
    assert found.labels.tolist() == folder.targets
    assert found.bits == 8


@pytest.mark.parametrize("shape", [(12, 20, 3), (20, 12, 1), (5, 7, 3), (SIDE, 9, 1)])
def test_deep_images_are_scaled_as_those_of_8_bits(shape: tuple[int, ...]) -> None:
    shallow = random(shape)
    deep = fit(shallow.astype(np.uint16) * 257, SIDE)
    assert deep.dtype == np.uint16
    assert deep.shape == (shape[2], SIDE, SIDE)
    # the scaled bytes are rounded twice by Pillow, once for each side
    assert np.abs(deep / 257 - fit(shallow, SIDE)).max() <= 1.01


def test_grey_of_deep_colours_is_that_of_8_bits() -> None:
    colours = random((40, 40, 3))
    with_pillow = np.asarray(Image.fromarray(colours).convert("L"))
    assert np.array_equal(grey(colours)[..., 0], with_pillow)
    assert np.abs(grey(colours.astype(np.uint16) * 257)[..., 0] / 257 - with_pillow).max() <= 0.51
    white = np.full((1, 1, 3), 65535, np.uint16)
    assert grey(white).tolist() == [[[65535]]]


@pytest.mark.parametrize(("bits", "white"), [("auto", 65535), (12, 4095), (14, 16383)])
def test_bits_say_what_1_is(bits: Any, white: int, tmp_path: Path) -> None:
    arrays = [random((SIDE, SIDE, 3), 4095, seed=k) for k in range(6)]
    write_classes(tmp_path, [png(array) for array in arrays])
    found = load(tmp_path, bits=bits)
    assert found.images.dtype == torch.uint16
    expected = np.stack(arrays[::2] + arrays[1::2]).transpose(0, 3, 1, 2)
    assert np.array_equal(found.images.numpy(), expected)
    scaled = to_unit_range(found.images, found.bits).double().numpy()
    np.testing.assert_allclose(scaled, expected / white, rtol=1e-6)
    mean, std = found.channel_mean_std()
    np.testing.assert_allclose(mean, (expected / white).mean(axis=(0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(std, (expected / white).std(axis=(0, 2, 3)), rtol=1e-9)


def test_256_grey_levels_of_a_deep_file_stay_256(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    write_classes(tmp_path, [png(levels), png(levels[::-1].copy())] * 3)
    settings = folder_settings(tmp_path, bits=8).model_copy(update={"image_size": 16})
    found = settings.build("train")
    assert found.images.dtype == torch.uint8
    assert len(np.unique(found.images.numpy())) == 256


def test_more_than_bits_allow_is_refused(tmp_path: Path) -> None:
    write_classes(tmp_path, [tiff(random((8, 8), 4095, seed=k)) for k in range(6)], "tif")
    with pytest.raises(DataError, match=r"a/00\.tif holds the value 4095, more than the 1023 of d"):
        load(tmp_path, bits=10)


def test_bits_of_images_of_8_bits_are_refused(tmp_path: Path) -> None:
    write_classes(tmp_path, [png(random((8, 8), seed=k)) for k in range(6)])
    with pytest.raises(DataError, match=r"data/bits is 12, but all images have 8 bits"):
        load(tmp_path, bits=12)
    assert load(tmp_path, bits=8).bits == 8


def test_depths_are_mixed_by_their_white(tmp_path: Path) -> None:
    shallow, deep = random((SIDE, SIDE)), random((SIDE, SIDE), 65535)
    write_classes(tmp_path, [png(shallow), png(deep)] * 3)
    found = load(tmp_path)
    assert found.bits == 16
    assert np.array_equal(found.images[0, 0].numpy(), shallow.astype(np.uint16) * 257)
    assert np.array_equal(found.images[-1, 0].numpy(), deep)


def test_grey_stays_one_channel_and_mixed_becomes_three(tmp_path: Path) -> None:
    picture = random((SIDE, SIDE))
    write_classes(tmp_path, [png(picture)] * 6)
    assert load(tmp_path).image_shape == (1, SIDE, SIDE)
    assert load(tmp_path, channels=3).image_shape == (3, SIDE, SIDE)
    write(tmp_path, "train/b/x.png", png(random((SIDE, SIDE, 3))))
    mixed = load(tmp_path)
    assert mixed.image_shape == (3, SIDE, SIDE)
    assert all(np.array_equal(mixed.images[0, channel].numpy(), picture) for channel in range(3))
    assert load(tmp_path, channels=1).image_shape == (1, SIDE, SIDE)


def test_hidden_folders_and_files_are_no_images(tmp_path: Path) -> None:
    write_classes(tmp_path, [png(random((SIDE, SIDE), seed=k)) for k in range(6)])
    for name in (".ipynb_checkpoints/0.png", "__pycache__/x.png", "a/.ipynb_checkpoints/0.png"):
        write(tmp_path, f"train/{name}", png(random((SIDE, SIDE))))
    write(tmp_path, "train/a/._0.png", b"what macOS leaves on other disks")
    found = load(tmp_path)
    assert found.class_names == ("a", "b")
    assert len(found) == 6


def test_classes_of_test_are_numbered_by_train(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        for number in range(2):
            write(tmp_path, f"train/{name}/{number}.png", png(random((SIDE, SIDE), seed=number)))
    write(tmp_path, "test/c/0.png", png(random((SIDE, SIDE))))
    test = load_test_part(folder_settings(tmp_path))
    assert test.labels.tolist() == [2]
    assert test.class_names == ("a", "b", "c")


@pytest.mark.parametrize(("has_test", "needed"), [(True, 2), (False, 3)])
def test_a_class_too_small_is_named(has_test: bool, needed: int, tmp_path: Path) -> None:
    write_classes(tmp_path, [png(random((SIDE, SIDE), seed=k)) for k in range(6)])
    for number in range(needed - 1):
        write(tmp_path, f"train/lonely/{number}.png", png(random((SIDE, SIDE))))
    if has_test:
        write(tmp_path, "test/a/0.png", png(random((SIDE, SIDE))))
    with pytest.raises(DataError, match=rf"lonely: {needed - 1} image.* class needs {needed}, one"):
        load_training_parts(folder_settings(tmp_path))
    write(tmp_path, "train/lonely/9.png", png(random((SIDE, SIDE))))
    parts = load_training_parts(folder_settings(tmp_path))
    for part in (parts.train, parts.validation):
        assert set(part.labels.tolist()) == {0, 1, 2}


@pytest.mark.parametrize(
    "mistake",
    [{"range": [1.0, 0.0]}, {"range": [1]}, {"background": 255}, {"background": [0.0, 1.0]}],
    ids=str,
)
def test_wrong_settings_are_refused(mistake: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        folder_settings(Path("."), **mistake)


def test_settings_can_be_keys(tmp_path: Path) -> None:
    """A process keeps the images of the last settings by them."""
    made = folder_settings(tmp_path, range=[0.0, 1.0], background=[0.0, 0.5, 1.0])
    assert made == folder_settings(tmp_path, range=(0.0, 1.0), background=(0.0, 0.5, 1.0))
    assert len({made, made.for_channels(1), folder_settings(tmp_path, channels=3)}) == 3
    assert folder_settings(tmp_path, channels=3).for_channels(1).channels == 3
