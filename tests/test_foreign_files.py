"""A file of somebody else, however it is damaged, is read, or refused in a line with its name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.foreign_files import make_search, make_trials_table
from tests.foreign_models import make_old_model
from tests.foreign_readers import READERS
from tests.mutations import DEPTH
from tunebox.errors import ClusterError, RecordsError, TuneboxError, reading
from tunebox.records.model_folder import load_model
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import read_log
from tunebox.remote.cluster_file import find_head

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

CHECKOUT = Path(__file__).parents[1]
# Of these a file takes ten milliseconds and more; `python -m tests.foreign_readers` takes more.
FEWER = {
    "search file": 400,
    "trial file": 200,
    "checkpoint": 200,
    "weights": 500,
    "pretrained": 30,
    "image": 500,
    "table of images": 300,
    "parquet images": 300,
    "npz": 300,
}

# What is damaged in these is looked up in MLflow, or counts as it is, without an error.
LOOKED_UP = {"cursor", "outbox of 0.1.0", "looks at the test set"}


@pytest.mark.parametrize("name", READERS)
def test_damaged_file_is_read_or_refused_in_a_line(name: str) -> None:
    # in a process of its own: its memory is limited, and a crash of a library would show
    done = subprocess.run(
        [sys.executable, "-m", "tests.foreign_readers", name, str(FEWER.get(name, 1000))],
        cwd=CHECKOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},
        capture_output=True,
        text=True,
        check=False,
        timeout=230,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["wrong"] == {}
    noticed = found["refused"] > 0 or name in LOOKED_UP
    assert noticed, "no damage was noticed: what is damaged is not what is read"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_classes", float("inf")),
        ("num_classes", 10**12),
        ("num_classes", True),
        ("height", 10**9),
        ("channels", "1"),
        ("model", {1: 2}),
        ("model", [1]),
        ("format", None),
    ],
    ids=str,
)
def test_weights_that_say_what_cannot_be(tmp_path: Path, key: str, value: object) -> None:
    import torch

    path = make_old_model(tmp_path)
    content = torch.load(path, weights_only=True)
    torch.save({**content, key: value}, path)
    with pytest.raises(RecordsError, match=r"weights\.pt") as caught:
        load_model(path.parent)
    assert str(caught.value).isprintable()


def test_weights_of_another_size_need_no_memory(tmp_path: Path) -> None:
    import torch

    path = make_old_model(tmp_path)
    torch.save({**torch.load(path, weights_only=True), "height": 1000, "width": 1000}, path)
    trial = path.parent / "trial.yaml"
    text = trial.read_text()
    assert "width: 4," in text
    lines = [line for line in text.splitlines() if not line.startswith("# crc32")]
    wide = "\n".join(lines).replace("width: 4", "width: 60000")  # 240 GB of weights
    trial.write_text(wide)
    with pytest.raises(RecordsError, match=r"does not fit trial\.yaml: .* has the shape"):
        load_model(path.parent)


CLUSTER = """\
cluster_name: c
provider: {type: local, head_ip: 10.1.2.3}
auth: {ssh_user: me}
"""


@pytest.mark.parametrize(
    "text",
    [
        "x: " + "[" * DEPTH + "]" * DEPTH,
        CLUSTER + "x: " + "{a: " * DEPTH + "1" + "}" * DEPTH,
        CLUSTER.replace("10.1.2.3", "[1, 2]"),
        CLUSTER.replace("10.1.2.3", "7"),
        CLUSTER.replace("me}", "me, ssh_private_key: [a]}"),
        CLUSTER.replace("me}", "me, ssh_proxy_command: 5}"),
        CLUSTER.replace("me", "7"),
        CLUSTER + "docker: [1]\n",
        CLUSTER + "docker: 3\n",
        CLUSTER.replace("{ssh_user: me}", "[ssh_user]"),
        CLUSTER.replace("type: local,", "type: aws, key_pair: 3,"),
        CLUSTER.replace("type: local,", "type: aws, key_pair: {key_name: [x]},"),
    ],
    ids=lambda text: text[:90],
)
def test_cluster_file_with_the_wrong_thing_in_a_place(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunebox.remote.cluster_file._ask_ray", lambda *_: "10.1.2.3")
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(ClusterError, match=r"cluster\.yaml") as caught:
        find_head(str(path))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("column", ["trial_id", "state", "start_time", "reason", "model/width"])
def test_table_without_a_column(tmp_path: Path, column: str) -> None:
    import pyarrow.parquet as pq

    from tunebox.records.table_file import write_table

    path = make_trials_table(tmp_path)
    write_table(pq.read_table(path).drop_columns([column]), path)
    with pytest.raises(RecordsError, match=rf"trials\.parquet cannot be read: .*{column}"):
        read_log(SearchFolder(path.parent))


def test_history_without_an_objective(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    from tunebox.records.table_file import write_table

    search = SearchFolder(make_search(tmp_path))
    search.journal.unlink()
    table = pq.read_table(search.history).drop_columns(["clean_accuracy"])
    write_table(table, search.history)
    with pytest.raises(RecordsError, match=r"history\.parquet cannot be read: .*clean_accuracy"):
        read_log(search)


def test_what_goes_wrong_while_reading_is_about_the_file() -> None:
    for error, reason in [
        (RecursionError("maximum recursion depth exceeded"), "it is nested too deep"),
        (KeyError("time"), "it has no 'time'"),
        (AssertionError(), "AssertionError"),
        (OSError(5, "Input/output error", "f"), "Input/output error"),
        (ValueError("one\ntwo"), "one"),
        (TuneboxError("it is odd"), "it is odd"),
    ]:
        with pytest.raises(ClusterError) as caught, reading(Path("a/f\n"), ClusterError):
            raise error
        assert str(caught.value) == f"a/f\\n cannot be read: {reason}"
        assert caught.value.__cause__ is error
    with pytest.raises(RecordsError, match=r"^b/f is newer$"), reading("b/f", ClusterError):
        raise RecordsError("b/f is newer")
    with pytest.raises(KeyboardInterrupt), reading("b/f"):
        raise KeyboardInterrupt


def test_weights_with_more_than_plain_values_are_refused_without_advice_to_trust_them(
    tmp_path: Path,
) -> None:
    import torch

    path = make_old_model(tmp_path)
    torch.save({**torch.load(path, weights_only=True), "extra": tmp_path}, path)
    expected = r"weights\.pt cannot be read: it holds more than tensors and plain values"
    with pytest.raises(RecordsError, match=expected) as caught:
        load_model(path.parent)
    assert "weights_only" not in str(caught.value)
