"""Files of every kind that tunebox reads, and how each is read, for `tests.foreign_readers`.

``make_..`` writes a whole file into a folder and returns its path, ``read_..`` reads what is there.
What is slow to import is imported where it is needed.
"""

from __future__ import annotations

import gzip
import json
import random
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from tunebox.errors import RecordsError
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Values
from tunebox.spec.yaml_source import parse_yaml

SEARCH_FILE = """\
# Which | is best?
data: {kind: digits, train_images: 100}
model: {kind: mlp, width: {choice: [4, 8]}, depth: 1, feature_dim: 4}
losses:
  choice:
    clean: {cross_entropy: {on: clean}}
    noisy:
      cross_entropy: {on: noisy}
      noise: {kind: gaussian, std: {uniform: [0.1, 0.5]}}
optimizer: {kind: sgd, lr: {log_uniform: [0.01, 0.3]}}
evaluation: {noise: {kind: gaussian, std: 0.3}}
start: [{losses: clean}]
objectives:
  clean_accuracy: {direction: maximize, reference: 0.1}
  train_loss: {direction: minimize, reference: 3}
constraints: {noisy_accuracy: {min: 0.1}}
search: {trials: 4, max_epochs: 2, seed: 3, sampler: random}
"""
SETTINGS: Values = {"model/width": 4, "losses": "clean", "optimizer/lr": 0.1}
CHECKPOINT = "checkpoints/0000/000009.pt"


def make_model(folder: Path) -> Path:
    from tests.records.make_model import write_model

    write_model(folder / "model", small_spec(), SETTINGS)
    return folder / "model" / "model.safetensors"


def make_old_model(folder: Path) -> Path:
    from tests.records.make_model import make_classifier, make_old, weights_of

    make_model(folder)
    return make_old(folder / "model", weights_of(make_classifier(small_spec(), SETTINGS, seed=5)))


def make_model_json(folder: Path) -> Path:
    return make_model(folder).parent / "model.json"


def make_trial_file(folder: Path) -> Path:
    return make_model(folder).parent / "trial.yaml"


def read_model(folder: Path) -> object:
    from tunebox.records.model_folder import load_model

    return load_model(folder / "model")


def read_tensors(folder: Path) -> object:
    """Read the weights of somebody who wrote the right checksum beside them."""
    import hashlib

    from tunebox.records.files import read_json, write_json

    path = folder / "model" / "model.json"
    content = read_json(path, 1)
    weights = (folder / "model" / "model.safetensors").read_bytes()
    content["files"]["model.safetensors"]["sha256"] = hashlib.sha256(weights).hexdigest()
    write_json(path, {name: value for name, value in content.items() if name != "crc"})
    return read_model(folder)


def make_pretrained(folder: Path) -> Path:
    import timm
    import torch

    torch.manual_seed(0)
    path = folder / "pretrained.pt"
    torch.save(timm.create_model("test_resnet", num_classes=7).state_dict(), path)
    return path


def read_pretrained(folder: Path) -> object:
    from tunebox.models.networks.timm import TimmSettings
    from tunebox.models.settings import ImageShape

    path = str(folder / "pretrained.pt")
    return TimmSettings(kind="timm", name="test_resnet", pretrained=path).build(
        ImageShape(3, 32, 32, 10)
    )


def make_checkpoint(folder: Path) -> Path:
    import torch

    from tests.records.make_model import SHAPE, make_classifier
    from tunebox.records.search_folder import create_folder
    from tunebox.spec.write import search_yaml

    search, spec = create_folder(folder, "s"), small_spec()
    search.search_file.write_text(search_yaml(spec), encoding="utf-8")
    path = search.root / CHECKPOINT
    path.parent.mkdir(parents=True)
    state = {"model": make_classifier(spec, SETTINGS, 5).state_dict(), "epoch": 3}
    torch.save({"format": 1, **SHAPE, "state": state}, path)
    return path


def read_checkpoint(folder: Path) -> object:
    """Export a trial from its checkpoint, and load the model."""
    from tunebox.decisions.trials import TrialRecord, TrialState
    from tunebox.records.export import export_trials
    from tunebox.records.model_folder import load_model
    from tunebox.records.search_folder import SearchFolder

    trial = TrialRecord("0000", SETTINGS, 1.0, TrialState.FINISHED, checkpoint=CHECKPOINT)
    shutil.rmtree(folder / "to", ignore_errors=True)
    exported = export_trials(SearchFolder(folder / "s"), [trial], folder / "to", format=None)
    for problem in exported.problems:
        raise RecordsError(problem)
    try:
        return load_model(folder / "to" / "0000")
    except RecordsError as error:
        exported_as = str(error).replace("model.safetensors", "000009.pt")
        raise RecordsError(exported_as) from error


def small_spec() -> SearchSpec:
    from tunebox.spec.load import spec_from_source

    return spec_from_source(parse_yaml(SEARCH_FILE, "small.yaml"))


def make_search_file(folder: Path) -> Path:
    (folder / "mine.yaml").write_text(SEARCH_FILE, encoding="utf-8")
    return folder / "mine.yaml"


def read_search_file(folder: Path) -> object:
    from tunebox.spec.load import load_spec
    from tunebox.spec.sample import sample_values
    from tunebox.spec.write import search_yaml

    spec = load_spec(str(folder / "mine.yaml"))
    values_ = sample_values(spec.space, random.Random(1))
    return spec.trial(values_), spec.references, spec.stem, search_yaml(spec), spec.objective_set


def make_search(folder: Path) -> Path:
    """Write a search with all its files, as far as Python's own modules can."""
    from tests.records.make_log import make_log, make_spec
    from tunebox.decisions.events import (
        Ended,
        Planned,
        Reported,
        SearchEnded,
        SearchStarted,
        Started,
    )
    from tunebox.decisions.trials import Report, TrialState
    from tunebox.records.journal import JournalWriter, read_journal
    from tunebox.records.search_folder import create_folder
    from tunebox.records.trial_tables import write_tables
    from tunebox.records.warm_start import keep_trials
    from tunebox.spec.load import load_spec
    from tunebox.spec.sample import sample_values
    from tunebox.spec.write import search_yaml
    from tunebox.verbs.resume import resumed_spec, resumed_state

    spec = load_spec(str(make_search_file(folder)))
    search = create_folder(folder / "out", "s")
    search.search_file.write_text(search_yaml(spec), encoding="utf-8")
    journal, generator = JournalWriter(search.journal, "s"), random.Random(0)
    metrics = {"clean_accuracy": 0.5, "noisy_accuracy": 0.25, "train_loss": 1.0}
    journal.on(SearchStarted(1.0, "host", 12))
    for trial in ("0000", "0001", "0002"):
        journal.on(Planned(trial, sample_values(spec.space, generator)))
        journal.on(Started(trial, 2.0))
        for epoch in (1, 2):
            journal.on(Reported(trial, Report(epoch, metrics, 3.0 + epoch), "node"))
        journal.on(Ended(trial, TrialState.FINISHED, None, 9.0))
    journal.on(SearchEnded(10.0, False, None))
    write_tables(search, make_log(8), make_spec().space.leaves)
    state = resumed_state(search, resumed_spec(search, {}), read_journal(search.journal).events)
    keep_trials(list(state.log.trials.values()), search.warm_start)
    return search.root


def make_journal(folder: Path) -> Path:
    return make_search(folder) / "journal.jsonl"


def make_warm_start(folder: Path) -> Path:
    return make_search(folder) / "warm_start.json"


@cache
def spec_in(file: Path) -> SearchSpec:
    from tunebox.spec.load import load_spec

    return load_spec(str(file))


def read_state(folder: Path) -> object:
    from tunebox.records.journal import read_journal
    from tunebox.records.search_folder import SearchFolder
    from tunebox.verbs.resume import resumed_state

    search = SearchFolder(folder / "out" / "s")
    events = read_journal(search.journal).events
    state = resumed_state(search, spec_in(search.search_file), events)
    return state.log.front(), state.next_event()


def _without_journal(search: Path) -> Path:
    """Take away what tables would be made anew from."""
    (search / "journal.jsonl").unlink()
    return search


def make_trials_table(folder: Path) -> Path:
    return _without_journal(make_search(folder)) / "trials.parquet"


def make_history_table(folder: Path) -> Path:
    return _without_journal(make_search(folder)) / "history.parquet"


def make_front_table(folder: Path) -> Path:
    return _without_journal(make_search(folder)) / "front.parquet"


def read_tables(folder: Path) -> object:
    from tunebox.cli.front_table import front_table
    from tunebox.cli.tables import comparison_table, describe_constraints, describe_failures
    from tunebox.cli.terminal import make_console
    from tunebox.records.search_folder import SearchFolder
    from tunebox.records.trial_tables import read_log

    search = SearchFolder(folder / "out" / "s")
    log = read_log(search)
    console = make_console()
    with console.capture() as captured:
        console.print(front_table(log, "The front"), comparison_table([("s", log)]))
    assert "\x1b[2J" not in captured.get()
    return describe_failures(log), describe_constraints(log)


def read_front_table(folder: Path) -> object:
    from tunebox.records.search_folder import SearchFolder
    from tunebox.records.trial_tables import read_front

    return read_front(SearchFolder(folder / "out" / "s")).to_pylist()


def make_run_end(folder: Path) -> Path:
    from tunebox.records.run_end import RunEnd, write_run_end

    end = RunEnd(
        tracking_uri="http://server",
        interrupted=False,
        ended="all have ended",
        is_complete=True,
        go_on="",
        warnings=["one"],
        trouble=None,
        traceback=None,
    )
    write_run_end(folder / "end.json", end)
    return folder / "end.json"


def read_run_end(folder: Path) -> object:
    from tunebox.records.run_end import read_run_end

    end = read_run_end(folder / "end.json")
    return end and [line.strip() for line in (*end.warnings, end.ended, end.trouble or "")]


def make_confirm_plan(folder: Path) -> Path:
    from tunebox.decisions.confirm import Candidate
    from tunebox.records.confirm_plan import ConfirmPlan, write_plan
    from tunebox.records.search_folder import create_folder

    candidate = Candidate("0001", SETTINGS, "search/seed", {"clean_accuracy": 0.9}, True)
    search = create_folder(folder, "s-confirm")
    write_plan(search, ConfirmPlan("s", [candidate], {"seeds": 3}))
    return search.confirm


def read_confirm_plan(folder: Path) -> object:
    from tunebox.records.confirm_plan import read_plan
    from tunebox.records.search_folder import SearchFolder

    plan = read_plan(SearchFolder(folder / "s-confirm"))
    assert plan is not None
    return [plan.repeated({**SETTINGS, "search/seed": 4}), *(c.metrics for c in plan.candidates)]


def make_confirmed_table(folder: Path) -> Path:
    from tunebox.decisions.confirmed import Confirmed, ConfirmedTrial, Estimate
    from tunebox.records.confirmed_table import write_confirmed
    from tunebox.records.search_folder import create_folder

    value, names = Estimate(0.5, 0.1), ("clean_accuracy", "train_loss")
    means = dict.fromkeys(names, value)
    trials = [
        ConfirmedTrial(f"000{i}", 3, 0, {}, means, means, {}, 0.5, True, i == 1, ("0001",))
        for i in range(3)
    ]
    search = create_folder(folder, "s")
    write_confirmed(search, Confirmed(trials, value, means, means, names))
    return search.confirmed


def read_confirmed_table(folder: Path) -> object:
    from tunebox.cli.confirm_tables import confirmed_table, describe_confirmed
    from tunebox.records.confirmed_table import read_confirmed
    from tunebox.records.search_folder import SearchFolder

    confirmed = read_confirmed(SearchFolder(folder / "s"))
    assert confirmed is not None
    return [confirmed_table(confirmed, "s"), *describe_confirmed(confirmed)]


def make_looks(folder: Path) -> Path:
    from tunebox.records.search_folder import create_folder
    from tunebox.records.test_looks import add_look

    search = create_folder(folder, "s")
    for by in ("evaluate", "confirm"):
        add_look(search, by)
    return search.test_looks


def read_looks(folder: Path) -> object:
    from tunebox.records.search_folder import SearchFolder
    from tunebox.records.test_looks import describe_looks, read_looks

    return describe_looks("s", read_looks(SearchFolder(folder / "s")))


def make_lock(folder: Path) -> Path:
    from tunebox.records.lock import locked

    with locked(folder / "lock"):
        content = (folder / "lock").read_bytes()
    (folder / "lock").write_bytes(content)
    return folder / "lock"


def read_lock(folder: Path) -> object:
    from tunebox.records import lock

    lock._DEAD_SECONDS = 0.0
    with lock.locked(folder / "lock"):
        return lock.holding_process(folder / "lock")


def make_cursor(folder: Path) -> Path:
    from tunebox.records.search_folder import create_folder
    from tunebox.tracking.cursor import Cursor

    search = create_folder(folder, "s")
    cursor = Cursor(search, "sqlite:////abs/mlflow.db")
    cursor.open(has_past=False)
    cursor.run_id, cursor.files = "r0", {"f": "1-2"}
    cursor.note_creating([None, "0001"])
    return search.mlflow


def read_cursor(folder: Path) -> object:
    from tunebox.records.search_folder import SearchFolder
    from tunebox.tracking.cursor import Cursor
    from tunebox.tracking.sync import search_tracking_uri

    search = SearchFolder(folder / "s")
    content = search.mlflow.read_bytes() if search.mlflow.exists() else None
    search_tracking_uri(search, None)
    cursor = Cursor(search, "sqlite:////abs/mlflow.db")
    found = (cursor.run_id, sorted(cursor.files.items()), sorted(cursor.creating.values()))
    cursor.open(has_past=True)
    if content is None:
        search.mlflow.unlink()
    else:
        search.mlflow.write_bytes(content)
    return found


def make_outbox(folder: Path) -> Path:
    old = Path(__file__).parent / "data" / "search_0_1_0" / "small"
    (folder / "s").mkdir()
    for name in ("mlflow.json", "mlflow_outbox.jsonl"):
        shutil.copy(old / name, folder / "s" / name)
    return folder / "s" / "mlflow_outbox.jsonl"


def make_ids(folder: Path) -> Path:
    return make_outbox(folder).parent / "mlflow.json"


def make_sums(folder: Path) -> Path:
    from tunebox.parts.code import CodeFinder, code_files, write_code

    (folder / "mine.py").write_text("def loop():\n    yield {}\n", encoding="utf-8")
    finder = CodeFinder(folder, copies=None)
    write_code(code_files(finder, ["mine.py:loop"]), folder / "code")
    return folder / "code" / "SHA256SUMS"


def read_code(folder: Path) -> object:
    from tunebox.parts.code import CodeFinder

    return CodeFinder(folder, copies=folder / "code").find("mine.py:loop")


CLUSTER_FILE = """\
cluster_name: c
max_workers: 4
provider: {type: local, head_ip: 10.1.2.3, worker_ips: [], key_pair: {key_name: k}, region: r}
auth: {ssh_user: me, ssh_private_key: ~/key, ssh_proxy_command: nc %h %p}
docker: {}
available_node_types: {a: {resources: {CPU: 4}, min_workers: 1}}
"""


def make_cluster_file(folder: Path) -> Path:
    (folder / "cluster.yaml").write_text(CLUSTER_FILE, encoding="utf-8")
    return folder / "cluster.yaml"


def read_cluster_file(folder: Path) -> object:
    from tunebox.remote import cluster_file

    vars(cluster_file)["_ask_ray"] = lambda file, ask: "10.1.2.3"
    head = cluster_file.find_head(str(folder / "cluster.yaml"))
    words = head.login.ssh("true", "-L", "1:h:2")
    assert words[words.index("--") + 1] == f"{head.user}@{head.address}"
    return words


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


def make_evaluation(folder: Path) -> Path:
    from tunebox.records.evaluation_table import StoredRow, write_evaluation_table

    rows = [
        StoredRow("clean", "none", 0.0, 0.9, 0.3),
        StoredRow("certified", "radius", 0.25, 0.5, None),
    ]
    return write_evaluation_table(folder, rows)


def read_evaluation(folder: Path) -> object:
    from tunebox.records.evaluation_table import read_evaluation_table

    return read_evaluation_table(folder)
