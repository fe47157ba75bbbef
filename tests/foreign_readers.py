"""Every reader of files that somebody else may have written, each tried on damaged files.

``python -m tests.foreign_readers READER NUMBER`` damages a file ``NUMBER`` times, each time in
another way, reads it, and prints what was wrong in a line of JSON. It runs in a process of its own,
with a limit on its memory.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests import foreign_files as files
from tests import foreign_images as images
from tests import foreign_models as models
from tests.mutations import (
    EVIL,
    Mutation,
    a_yaml_bomb,
    changed_bytes,
    changed_words,
    in_archive,
    in_idx,
    in_image,
    in_image_parquet,
    in_json,
    in_npz,
    in_parquet,
    in_torch,
    in_yaml,
)
from tunebox.errors import TuneboxError

SECONDS = 10.0  # for a file, on a busy machine; most take some milliseconds
MEMORY = 1 << 30  # bytes more than before the first damaged file


@dataclass(frozen=True)
class Reader:
    """Makes a folder with a whole file, and reads it."""

    make: Callable[[Path], Path]  # returns the file in the folder that will be damaged
    read: Callable[[Path], object]  # the folder
    mutations: tuple[Mutation, ...]
    also_named: str = ""  # another file that it is compared with, which may be the wrong one


_TEXT = (changed_bytes, changed_words)
_JSON = (*_TEXT, in_json, in_json)
_YAML = (*_TEXT, *[in_yaml] * 3) * 25 + (a_yaml_bomb,)
_TORCH = (changed_bytes, in_torch, in_torch, in_archive)
_TABLE = (changed_bytes, in_parquet)

READERS = {
    "search file": Reader(files.make_search_file, files.read_search_file, _YAML),
    "trial file": Reader(models.make_trial_file, models.read_model, _YAML),
    "weights": Reader(models.make_model, models.read_tensors, (changed_bytes,)),
    "model.json": Reader(models.make_model_json, models.read_model, _JSON, "model.safetensors"),
    "weights of 0.1.0": Reader(models.make_old_model, models.read_model, _TORCH),
    "checkpoint": Reader(models.make_checkpoint, models.read_checkpoint, _TORCH),
    "pretrained": Reader(models.make_pretrained, models.read_pretrained, _TORCH),
    "journal": Reader(files.make_journal, files.read_state, _JSON),
    "warm start": Reader(files.make_warm_start, files.read_state, _JSON),
    "trials": Reader(files.make_trials_table, files.read_tables, _TABLE, "history.parquet"),
    "history": Reader(files.make_history_table, files.read_tables, _TABLE),
    "front": Reader(files.make_front_table, files.read_front_table, _TABLE),
    "end": Reader(files.make_run_end, files.read_run_end, _JSON),
    "confirmation": Reader(files.make_confirm_plan, files.read_confirm_plan, _JSON),
    "confirmed table": Reader(files.make_confirmed_table, files.read_confirmed_table, _TABLE),
    "looks at the test set": Reader(files.make_looks, files.read_looks, _JSON),
    "lock": Reader(files.make_lock, files.read_lock, _JSON),
    "cursor": Reader(files.make_cursor, files.read_cursor, _JSON),
    "outbox of 0.1.0": Reader(files.make_outbox, files.read_cursor, _JSON),
    "ids of 0.1.0": Reader(files.make_ids, files.read_cursor, _JSON),
    "checksums": Reader(files.make_sums, files.read_code, _TEXT, "mine.py"),
    "cluster file": Reader(files.make_cluster_file, files.read_cluster_file, _YAML),
    "image": Reader(images.make_image, images.read_images, (changed_bytes, in_image)),
    "idx": Reader(images.make_idx, images.read_idx, (changed_bytes, in_idx)),
    "table of images": Reader(images.make_table, images.read_table, _TEXT),
    "parquet images": Reader(
        images.make_parquet_images,
        images.read_parquet_images,
        (changed_bytes, in_image_parquet),
        "/files: the 0 images for training",
    ),
    "npz": Reader(images.make_npz, images.read_npz, (changed_bytes, in_npz)),
    "evaluation": Reader(files.make_evaluation, files.read_evaluation, (changed_bytes,)),
    "corruptions": Reader(
        images.make_corruptions, images.read_corruptions, _TEXT, also_named="labels.npy"
    ),
}


class _Hangs(BaseException):
    pass


def _ring(*_: object) -> None:
    raise _Hangs


def attempt(reader: Reader, folder: Path, file: Path) -> tuple[str | None, bool]:
    """Read a damaged file; return what is wrong with what happens, and whether it was read."""
    is_read = False
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        reader.read(folder)
        is_read = True
    except TuneboxError as error:
        line = str(error)
        if "\n" in line or not line.isprintable():
            return f"not one line: {line!r}", False
        if file.name not in line and (reader.also_named or file.name) not in line:
            return f"does not name the file: {line!r}", False
        if "more memory" in line or "allocate" in line:
            return f"wanted much memory: {line!r}", False
    except BaseException:
        return traceback.format_exc(limit=-3), False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "ran what was pickled" if Path(os.environ[EVIL]).exists() else None, is_read


def main(name: str, number: int) -> None:
    """Print the seeds of damaged files that a reader fails on, and why."""
    reader = READERS[name]
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _ring)
    wrong: dict[int, str] = {}
    slowest = 0.0
    refused = 0
    with tempfile.TemporaryDirectory() as home:
        os.environ[EVIL] = f"{home}/evil"
        folder = Path(home) / "files"
        folder.mkdir()
        file = reader.make(folder)
        whole = file.read_bytes()
        reader.read(folder)  # whole, it is read
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
        for seed in range(number):
            generator = random.Random(seed)
            damaged = generator.choice(reader.mutations)(generator, whole)
            file.write_bytes(damaged)
            start = time.monotonic()
            problem, is_read = attempt(reader, folder, file)
            refused += not is_read
            slowest = max(slowest, time.monotonic() - start)
            if problem is not None:
                wrong[seed] = problem[-1500:]
    print(json.dumps({"wrong": wrong, "slowest": slowest, "refused": refused}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
