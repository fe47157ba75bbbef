"""Files of every kind that tunebox reads, and how each is read, for `tests.foreign_readers`.

``make_..`` writes a whole file into a folder and returns its path, ``read_..`` reads what is there.
What is slow to import is imported where it is needed.
"""

from __future__ import annotations

import random
import shutil
from functools import cache
from pathlib import Path

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
    for trial in ("0000", "0001", "0002", "0003"):
        journal.on(Planned(trial, sample_values(spec.space, generator)))
        journal.on(Started(trial, 2.0))
        for epoch in (1, 2) if trial < "0003" else (1,):
            journal.on(Reported(trial, Report(epoch, metrics, 3.0 + epoch), "node"))
        if trial < "0003":
            journal.on(Ended(trial, TrialState.FINISHED, None, 9.0))
    journal.on(Ended("0003", TrialState.FAILED, "ValueError: loss is nan", 9.5))
    journal.on(SearchEnded(10.0, False, None))
    state = resumed_state(search, resumed_spec(search, {}), read_journal(search.journal))
    write_tables(search, state.log, spec.space.leaves)
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
    state = resumed_state(search, spec_in(search.search_file), read_journal(search.journal))
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
