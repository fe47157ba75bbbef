"""Memory and speed with many photographs: more of them than a process may hold. Needs Linux.

    python -m benchmarks.photographs workers [--images 5550] [--train-images 300]
    python -m benchmarks.photographs stored [--images 30000] [--limit-gb 3] [--steps 40]
    python -m benchmarks.photographs check [--images 4000]

``workers`` runs a search of two trials at once on Ray with the defaults, on JPEG files of 224 x 224
pixels, and prints the peak resident memory of each worker. ``stored`` decodes images of 224 x 224
pixels into the cache and trains ``small_conv`` on them in a process that may hold ``--limit-gb`` of
private memory (RLIMIT_DATA: an address space, as RLIMIT_AS limits it, holds the mapped libraries
too); then the loop that reads from the file and the one on images in memory take turns. ``check``
times the pass over all files before a search, beside bare decoding in as many threads.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

SIDE = 224
BATCH_SIZE = 64
GIB = 2**30


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=["workers", "stored", "limited", "compare", "check"])
    parser.add_argument("--images", type=int)
    parser.add_argument("--train-images", type=int, default=300)
    parser.add_argument("--limit-gb", type=float, default=3.0)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="of an earlier run, for its files")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = arguments.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        functions = {
            "workers": workers,
            "stored": stored,
            "limited": limited,
            "compare": compare,
            "check": check,
        }
        functions[arguments.what](folder, arguments)


# -- Peak memory of the workers of a search


def write_files(folder: Path, count: int) -> None:
    """Write JPEG files of coloured clouds, which decode at the speed of photographs."""
    draws = np.random.default_rng(0)
    for number in range(count):
        path = folder / "train" / "ab"[number % 2] / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            coarse = draws.integers(0, 256, (28, 28, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((SIDE, SIDE)).save(path, quality=90)


def workers(folder: Path, arguments: argparse.Namespace) -> None:
    count = arguments.images or 5550
    write_files(folder, count)
    spec = {
        "data": {
            "kind": "image_folder",
            "root": str(folder),
            "image_size": SIDE,
            "cache": str(folder / "cache"),
            "train_images": arguments.train_images or None,
        },
        "model": {"kind": "small_conv"},
        "losses": {"cross_entropy": {"on": "clean"}},
        "optimizer": {"kind": "sgd", "lr": {"uniform": [0.01, 0.1]}},
        "evaluation": {"noise": {"kind": "gaussian", "std": 0.1}},
        "search": {"trials": 2, "min_epochs": 1, "max_epochs": 1, "max_concurrent": 2},
    }
    (folder / "search.yaml").write_text(json.dumps(spec), encoding="utf-8")
    command = [sys.executable, "-m", "tunebox", "search", str(folder / "search.yaml")]
    command += ["--out", str(folder / "out"), "--address", "local"]
    start = time.perf_counter()
    process = subprocess.Popen(command)
    peaks: dict[int, tuple[int, int]] = {}
    while process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            found = peak_of(child)
            if found is not None:
                peaks[child.pid] = max(found, peaks.get(child.pid, (0, 0)))
        time.sleep(0.2)
    print(f"{count:,} images, {arguments.train_images} for training, two trials at once")
    print(f"{time.perf_counter() - start:.0f} s; exit code {process.returncode}")
    for pid, (peak, of_files) in peaks.items():
        shared = f"{of_files / GIB:.2f} GB of it pages of files"
        print(f"worker {pid}: peak resident memory {peak / GIB:.2f} GB, {shared}")


def peak_of(process: psutil.Process) -> tuple[int, int] | None:
    """Return the peak resident memory of a worker, and how much of it is pages of files.

    The pages of files, such as libraries, are shared by the workers. None for another process.
    """
    try:
        if "TrialTrainable" not in " ".join(process.cmdline()):
            return None
        lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    except (psutil.Error, OSError):
        return None
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    if "VmHWM" not in found:  # it has ended
        return None
    peak, of_files = (int(found[name].split()[0]) * 1024 for name in ("VmHWM", "RssFile"))
    return peak, of_files


# -- Training on more images than a process may hold


def npz_settings(folder: Path, count: int) -> Any:
    from tunebox.data.sets.npz import NpzSettings

    file = folder / f"{count}.npz"
    if not file.exists():
        write_npz(file, count)
    return NpzSettings(kind="npz", file=str(file), cache=str(folder / "cache"), test_fraction=0.01)


def write_npz(file: Path, count: int) -> None:
    """Write an ``.npz`` file an image at a time: brighter ones are of the second class."""
    import zipfile

    draws = np.random.default_rng(0)
    block = draws.integers(0, 200, (SIDE, SIDE, 3), dtype=np.uint8)
    with zipfile.ZipFile(file, "w") as archive:
        with archive.open("train_images.npy", "w", force_zip64=True) as member:
            shape = {"descr": "|u1", "fortran_order": False, "shape": (count, *block.shape)}
            np.lib.format.write_array_header_1_0(member, shape)
            for number in range(count):
                member.write(np.roll(block + np.uint8(50 * (number % 2)), number).tobytes())
        labels = io.BytesIO()
        np.lib.format.write_array(labels, np.arange(count) % 2)
        archive.writestr("train_labels.npy", labels.getvalue())


def stored(folder: Path, arguments: argparse.Namespace) -> None:
    """Decode, train in a process with a limit, and compare the two loops."""
    count = arguments.images or 30_000
    start = time.perf_counter()
    npz_settings(folder, count)
    print(f"{count:,} images written in {time.perf_counter() - start:.0f} s", flush=True)
    command = [sys.executable, "-m", "benchmarks.photographs", "limited", "--folder", str(folder)]
    for name in ("steps", "limit_gb"):
        command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    command += ["--images", str(count)]
    subprocess.run(command, check=True, env={**os.environ, "MALLOC_ARENA_MAX": "2"})
    compare(folder, arguments)


def limited(folder: Path, arguments: argparse.Namespace) -> None:
    """Decode and train under the limit; run by ``stored``."""
    limit = int(arguments.limit_gb * GIB)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    import torch

    from tunebox.data.parts import OpenedParts, open_training_parts
    from tunebox.training.trial_run import TrialRun

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    start = time.perf_counter()
    parts = open_training_parts(npz_settings(folder, arguments.images))
    size = parts.num_bytes / GIB
    print(f"{size:.2f} GB decoded in {time.perf_counter() - start:.0f} s", flush=True)
    start = time.perf_counter()
    parts.train.channel_mean_std()
    print(f"mean and deviation of all in {time.perf_counter() - start:.0f} s", flush=True)
    order = torch.randperm(len(parts.train), generator=torch.Generator().manual_seed(0))
    if arguments.steps:  # drawn from all of them
        drawn = parts.train.select(order[: arguments.steps * BATCH_SIZE])
        parts = OpenedParts(drawn, parts.validation.select(torch.arange(256)))
    run = TrialRun(config(), seed=0, max_epochs=1, device="cpu", parts=as_stored(parts))
    metrics = run.run_epoch()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    print(
        f"trained on {len(parts.train):,} of them: {metrics['images_per_second']:.1f} images/s, "
        f"accuracy {metrics['clean_accuracy']:.3f}; peak resident memory {peak:.2f} GB, "
        f"{arguments.limit_gb:g} GB allowed",
        flush=True,
    )


def as_stored(parts: Any) -> Any:
    """Let the run read from the file, however few the images are."""
    from tunebox.training import at_hand

    at_hand.SMALL_BYTES = 0
    return parts


def config() -> Any:
    from tunebox.spec.trial_config import TrialConfig

    return TrialConfig.model_validate(
        {
            "data": {"kind": "digits"},  # not loaded: the run gets its parts
            "model": {"kind": "small_conv"},
            "losses": {"cross_entropy": {"on": "clean"}},
            "optimizer": {"kind": "sgd", "lr": 0.01},
            "training": {"batch_size": BATCH_SIZE},
            "evaluation": {"noise": {"kind": "gaussian", "std": 0.1}},
        }
    )


def compare(folder: Path, arguments: argparse.Namespace) -> None:
    """Let the two loops take turns on the same images, drawn from all over the file."""
    import torch

    from tunebox.data.parts import OpenedParts, open_training_parts
    from tunebox.training.trial_run import TrialRun

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    train = open_training_parts(npz_settings(folder, arguments.images or 30_000)).train
    steps = min(arguments.steps or 8, 8)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(1))
    drawn = train.select(order[: steps * BATCH_SIZE])
    few = drawn.select(torch.arange(8))
    from_file = OpenedParts(drawn, few)
    loops = {
        "in memory": TrialRun(
            config(), seed=0, max_epochs=99, device="cpu", parts=from_file.resident()
        ),
        "from the file": TrialRun(
            config(), seed=0, max_epochs=99, device="cpu", parts=as_stored(from_file)
        ),
    }
    wall: dict[str, list[float]] = {name: [] for name in loops}
    processor: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(arguments.rounds + 1):
        for name, run in loops.items():
            start = time.process_time()
            speed = run.run_epoch()["images_per_second"]
            if number:  # the first round warms up
                wall[name].append(speed)
                processor[name].append(len(drawn) / (time.process_time() - start))
    for what, speeds in (("second", wall), ("second of a processor", processor)):
        medians = {name: statistics.median(values) for name, values in speeds.items()}
        listed = ", ".join(f"{speed:.1f} {name}" for name, speed in medians.items())
        ratio = medians["from the file"] / medians["in memory"]
        print(f"images per {what}: {listed} (medians of {arguments.rounds}); ratio {ratio:.3f}")


# -- The pass over all files before a search


def check(folder: Path, arguments: argparse.Namespace) -> None:
    from tunebox.data.read_files import num_cores
    from tunebox.data.sets.image_folder import ImageFolderSettings

    count = arguments.images or 4000
    write_files(folder, count)
    settings = ImageFolderSettings(kind="image_folder", root=str(folder), image_size=SIDE)
    files = sorted((folder / "train").rglob("*.jpg"))
    passes: dict[str, Callable[[], object]] = {
        "bare decoding": lambda: decode_all(files, num_cores()),
        "the pass": settings.inspect,
    }
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    for number in range(arguments.rounds + 1):
        for name, run in passes.items():
            start = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in medians.items():
        print(f"{name}: {count / value:.0f} files/s on {num_cores()} cores")
    print(f"the pass / bare decoding: {medians['the pass'] / medians['bare decoding']:.2f} times")


def decode_all(files: list[Path], num_threads: int) -> None:
    with ThreadPoolExecutor(num_threads) as pool:
        for _ in pool.map(decode_one, files, chunksize=1):
            pass


def decode_one(file: Path) -> int:
    with Image.open(io.BytesIO(file.read_bytes())) as image:
        return len(np.asarray(image))


if __name__ == "__main__":
    main()
