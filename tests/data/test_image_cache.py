"""Decoded images in files: the same values as in memory, decoded once, and again when needed."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.data.image_files import png, random
from tunebox.data import file_digests, image_cache
from tunebox.data.batches import batches
from tunebox.data.image_file import ReadOptions
from tunebox.data.listing import FileItem
from tunebox.data.parts import load_training_parts, open_test_part, open_training_parts
from tunebox.data.sets.image_folder import ImageFolderSettings
from tunebox.data.stored_set import StoredSet, read_ahead
from tunebox.errors import DataError

SIDE = 6


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(image_cache, "_SMALL", 0)
    write(tmp_path)
    return tmp_path


def write(root: Path, *, count: int = 20, most: int = 255, part: str = "train") -> None:
    for number in range(count):
        path = root / part / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (9, 7, 3) if number % 3 else (7, 9)  # colours come after a grey image
        path.write_bytes(png(random(shape, most, seed=number)))


def folder_settings(root: Path, **changes: Any) -> ImageFolderSettings:
    settings = {"kind": "image_folder", "root": str(root), "image_size": SIDE}
    return ImageFolderSettings.model_validate({**settings, "cache": str(root / "cache"), **changes})


def opened(settings: ImageFolderSettings) -> StoredSet:
    found = settings.open("train")
    assert isinstance(found, StoredSet)
    return found


def entries(root: Path) -> list[Path]:
    return sorted(path.parent for path in (root / "cache").glob("*/facts.json"))


@pytest.mark.parametrize("most", [255, 65535])
def test_values_are_those_in_memory(most: int, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, most=most)
    stored = opened(folder_settings(root))
    monkeypatch.setattr(image_cache, "_SMALL", 2**30)
    expected = folder_settings(root).build("train")
    found = stored.resident()
    assert torch.equal(found.images.to(torch.int32), expected.images.to(torch.int32))
    assert torch.equal(found.labels, expected.labels)
    assert (found.bits, found.class_names, found.found) == (
        *(expected.bits, expected.class_names, expected.found),
    )
    assert stored.channel_mean_std() == expected.channel_mean_std()
    assert stored.image_shape == expected.image_shape == (3, SIDE, SIDE)


def test_parts_and_batches_are_those_in_memory(root: Path) -> None:
    settings = folder_settings(root, label_noise={"kind": "symmetric", "rate": 0.5})
    parts, expected = open_training_parts(settings), load_training_parts(settings)
    assert isinstance(parts.train, StoredSet)
    for found, wanted in ((parts.train, expected.train), (parts.validation, expected.validation)):
        drawn = [batches(one, 3, torch.Generator().manual_seed(4)) for one in (found, wanted)]
        for (images, labels, places), (images_2, labels_2, places_2) in zip(*drawn, strict=True):
            assert torch.equal(images, images_2)
            assert torch.equal(labels, labels_2)
            assert torch.equal(places, places_2)
    assert len(open_test_part(settings)) == 4


def test_images_are_decoded_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(folder_settings(root)).resident()

    no_decoding(monkeypatch)
    assert torch.equal(opened(folder_settings(root)).resident().images, first.images)
    assert torch.equal(opened(folder_settings(root, split_seed=5)).resident().images, first.images)
    with pytest.raises(DataError, match="decoded again"):
        folder_settings(root, channels=1).open("train")


def test_several_processes_or_threads_decode_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []
    read = FileItem.read

    def count(self: FileItem, options: ReadOptions) -> Any:
        counted.append(str(self))
        time.sleep(0.002)
        return read(self, options)

    monkeypatch.setattr(FileItem, "read", count)
    grey = folder_settings(root, channels=3)
    threads = [threading.Thread(target=grey.open, args=("train",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counted) == 20


def test_a_changed_file_is_decoded_again(root: Path) -> None:
    before = opened(folder_settings(root)).resident()
    path = root / "train" / "a" / "00.png"
    stat = path.stat()
    path.write_bytes(png(random((7, 9), seed=99)))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a copy that keeps times
    after = opened(folder_settings(root)).resident()
    assert not torch.equal(before.images[0], after.images[0])
    assert torch.equal(before.images[1:], after.images[1:])
    assert len(entries(root)) == 2


def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(FileItem, "read", fail)


def test_other_times_or_another_folder_change_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = opened(folder_settings(root)).resident()
    os.utime(root / "train" / "a" / "00.png", (5, 5))
    moved = root / "moved"
    shutil.copytree(root / "train", moved / "train")
    no_decoding(monkeypatch)
    for place in (root, moved):
        settings = folder_settings(place, cache=str(root / "cache"))
        assert torch.equal(opened(settings).resident().images, expected.images)
    assert len(entries(root)) == 1


def test_unchanged_files_are_not_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither after the images were decoded nor after the pass before a search."""
    opened(folder_settings(root))
    read: list[Path] = []
    monkeypatch.setattr(file_digests, "_read", read.append)
    opened(folder_settings(root))
    assert read == []
    other = folder_settings(root, cache=str(root / "other"))
    other.inspect()
    opened(other)
    assert read == []


def test_the_pass_before_a_search_sees_what_size_and_times_do_not_show(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / "train" / "a" / "00.png"
    states = {file: file_digests.file_state(file) for file in (root / "train").rglob("*.png")}
    monkeypatch.setattr(file_digests, "file_state", states.__getitem__)
    before = opened(folder_settings(root)).resident()
    path.write_bytes(png(random((7, 9), seed=99)))
    assert torch.equal(opened(folder_settings(root)).resident().images, before.images)
    folder_settings(root).inspect()
    after = opened(folder_settings(root)).resident()
    assert not torch.equal(before.images[0], after.images[0])


@pytest.mark.parametrize("content", ["", "[]", '{"x": 1}', '{"x": []}', "{", "\x00"])
def test_a_damaged_list_of_digests_costs_a_reading(
    content: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = opened(folder_settings(root)).resident()
    [known] = (root / "cache").glob("files-*.json")
    whole = known.read_text(encoding="utf-8")
    known.write_text(content, encoding="utf-8")
    no_decoding(monkeypatch)
    assert torch.equal(opened(folder_settings(root)).resident().images, expected.images)
    assert json.loads(known.read_text(encoding="utf-8")).items() >= json.loads(whole).items()


@pytest.mark.parametrize("damage", ["cut", "flip", "facts", "label", "gone", "no list"])
def test_a_damaged_entry_is_made_again(damage: str, root: Path) -> None:
    expected = opened(folder_settings(root)).resident()
    [entry] = entries(root)
    images, facts = entry / "images.bin", entry / "facts.json"
    content = images.read_bytes()
    match damage:
        case "cut":
            images.write_bytes(content[:-1])
        case "flip":
            images.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        case "facts":
            facts.write_text(facts.read_text(encoding="utf-8")[:50], encoding="utf-8")
        case "label":
            text = facts.read_text(encoding="utf-8")
            facts.write_text(text.replace('"labels": [0', '"labels": [7'), encoding="utf-8")
        case "gone":
            images.unlink()
        case _:
            facts.write_text("[]", encoding="utf-8")
    again = opened(folder_settings(root)).resident()
    assert torch.equal(again.images, expected.images)


def test_a_file_that_is_cut_while_it_is_used_is_one_line(root: Path) -> None:
    stored = opened(folder_settings(root))
    stored.stored.path.write_bytes(b"")
    with pytest.raises(DataError, match=r"images\.bin was cut short while it was in use"):
        stored.images_at(torch.tensor([3]))


def test_a_killed_process_leaves_no_entry(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(image_cache, "_checksums", die)
        with pytest.raises(KeyboardInterrupt):
            folder_settings(root).open("train")
    assert entries(root) == []
    assert len(opened(folder_settings(root))) == 20


def test_old_entries_go(root: Path) -> None:
    opened(folder_settings(root))
    [old] = entries(root)
    [lock] = (root / "cache").glob("*.lock")
    forgotten = root / "cache" / "files-0.json"
    forgotten.write_text("{}", encoding="utf-8")
    for path in (old / "facts.json", lock, forgotten):
        os.utime(path, (0, 0))
    opened(folder_settings(root, channels=1))
    assert old not in entries(root)
    assert len(entries(root)) == 1
    assert not lock.exists()
    assert not forgotten.exists()


def test_a_used_entry_is_young(root: Path) -> None:
    stored = opened(folder_settings(root)).stored
    os.utime(stored.path.parent / "facts.json", (0, 0))
    opened(folder_settings(root))
    opened(folder_settings(root, channels=1))
    assert stored.path.parent in entries(root)


def test_the_oldest_go_where_all_are_too_large(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = [opened(folder_settings(root, channels=channels)) for channels in (1, 3)]
    oldest, newest = (one.stored.path.parent for one in stored)
    now = time.time()
    for age, entry in ((200, newest), (100, oldest)):  # used once more
        os.utime(entry / "facts.json", (now - age, now - age))
    monkeypatch.setattr(image_cache, "_MOST_BYTES", 20 * SIDE * SIDE)  # the grey ones fit
    opened(folder_settings(root, background=0.5))
    assert oldest in entries(root)
    assert newest not in entries(root)
    assert len(stored[1].resident()) == 20  # the file is open


def test_a_cache_that_cannot_be_written_is_one_line(root: Path) -> None:
    (root / "file").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match=r"decoded images cannot be kept: .*file.* in data/cache"):
        folder_settings(root, cache=str(root / "file" / "x")).open("train")


def test_bad_files_are_named_and_nothing_is_kept(root: Path) -> None:
    (root / "train" / "a" / "02.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 of 20 images cannot be read: .*02\.png is empty"):
        folder_settings(root).open("train")
    assert entries(root) == []
    assert len(folder_settings(root, bad_files="skip").open("train")) == 19


def test_read_ahead_keeps_the_order_and_passes_errors_on() -> None:
    def read(number: int) -> int:
        if number == 5:
            raise DataError("five")
        return number

    assert list(read_ahead(range(5), read)) == [0, 1, 2, 3, 4]
    assert list(read_ahead([], read)) == []
    with pytest.raises(DataError, match="five"):
        list(read_ahead(range(9), read))


def test_rows_in_any_order_are_numpys(root: Path) -> None:
    stored = opened(folder_settings(root)).stored
    whole = np.fromfile(stored.path, np.uint8).reshape(stored.facts.shape)
    draws = np.random.default_rng(0)
    chosen: list[Any] = [np.arange(20), draws.permutation(20), [7], [3, 3, 1], np.arange(0)]
    for rows in chosen:
        at = np.asarray(rows, dtype=np.int64)
        assert np.array_equal(stored.read(at), whole[at])
