"""The command line: help, and what a person reads who made a mistake."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.command import Ended, Run
from tests.records.make_log import make_log
from tests.spec.make_spec import FIXED_FILE, SEARCH_FILE, changed
from tunebox import __version__

VERBS = (
    *("search", "attach", "stop", "front", "report", "replay", "export", "train", "evaluate"),
    *("predict",),
    *("sync", "ui", "spaces", "spaces check", "confirm"),
)


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*"))
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in files}


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_has_an_example(run: Run, verb: str) -> None:
    for option in ("-h", "--help"):
        done = run(*verb.split(), option)
        assert done.code == 0
        assert done.stderr == ""
        assert f"Usage: tunebox {verb}" in done.stdout
        assert f"Example: tunebox {verb}" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_help_names_every_verb(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.code, done.stderr) == (0, "")
    for verb in VERBS:
        assert f"\n  {verb.split()[0]} " in done.stdout


def test_version(run: Run) -> None:
    assert run("--version") == Ended(0, f"tunebox {__version__}\n", "")


def test_module_is_the_command_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tunebox", "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"tunebox {__version__}\n"


@dataclass(frozen=True)
class Mistake:
    """What was typed, what must be in the one line, and the files that are there."""

    arguments: str
    message: str
    files: tuple[tuple[str, str], ...] = ()


def search(text: str, message: str, options: str = "") -> Mistake:
    return Mistake(f"search f.yaml {options}".strip(), message, (("f.yaml", text),))


def train(text: str, message: str, options: str = "") -> Mistake:
    return Mistake(f"train f.yaml {options}".strip(), message, (("f.yaml", text),))


def option(options: str, message: str) -> Mistake:
    return search(SEARCH_FILE, message, options)


CIFAR = changed("{kind: digits}", "{kind: cifar10, root: nowhere}")
FOLDER = changed("{kind: digits}", "{kind: image_folder, root: nowhere, image_size: 8}")

MISTAKES: dict[str, Mistake] = {
    # what is typed
    "unknown verb": Mistake("serch digits", "No such command 'serch'. Did you mean 'search'; see"),
    "unknown option": Mistake("search digits --trails 5", "No such option: --trails"),
    "unknown option at the top": Mistake("--trials 5 search", "No such option: --trials"),
    "missing name": Mistake("front", "Missing argument 'NAME...'; see tunebox -h"),
    "missing option": Mistake("attach a", "Missing option '--cluster'; see tunebox -h"),
    "missing folder": Mistake("evaluate", "Missing argument 'DIR'; see tunebox -h"),
    "missing file": Mistake("train", "Missing argument 'file'; see tunebox -h"),
    "missing value": Mistake(
        "search digits --trials", "Option '--trials' requires an argument; see tunebox -h"
    ),
    "too many files": Mistake(
        "search digits digits", "Got unexpected extra argument(s) (digits); see tunebox -h"
    ),
    "word for a number": Mistake(
        "search digits --trials many", "'--trials': Input should be a valid integer, got 'many'"
    ),
    "part of a number": Mistake(
        "search digits --max-epochs 2.5",
        "'--max-epochs': Input should be a valid integer, got '2.5'",
    ),
    "unknown sampler": option("--sampler grid", "--sampler: got 'grid'; input should be 'tpe', "),
    "no budget of epochs": option("--epochs 0", "--epochs: got 0; input should be greater than"),
    "no such earlier search": option(
        "--warm-start absent-1", "no search 'absent-1' in results; it has none"
    ),
    "earlier search elsewhere": option(
        "--warm-start ../made-1", "--warm-start: a name has up to 100 letters"
    ),
    "earlier search twice": option(
        "--warm-start made-1 --warm-start made-1", "--warm-start: 'made-1' is there twice"
    ),
    "unknown verb of spaces": Mistake("spaces chek digits", "No such command 'chek'"),
    # search files
    "no such file": Mistake("search absent.yaml", "absent.yaml: no such search file; give a path"),
    "no such file to check": Mistake("spaces check absent", "absent: no such search file"),
    "no such file to train": Mistake("train absent.yaml", "absent.yaml: no such search file"),
    "folder for a file": Mistake("search .", ".: no such search file"),
    "long name of a file": Mistake(f"search {'x' * 300}", "no such search file"),
    "not YAML": search("data: {kind: digits\n", "f.yaml:2: not YAML: expected ',' or '}'"),
    "empty file": search("", "f.yaml:1: a search file is a mapping of settings"),
    "key twice": search(FIXED_FILE + "data: {}\n", "f.yaml:6: data: the key 'data' is there twice"),
    "unknown key": search(changed("num_draws", "draws"), "f.yaml:23: evaluation/draws: unknown"),
    "line break in a key": search(f'"a\\nb": 1\n{FIXED_FILE}', "unknown key"),
    "out of bounds": search(
        changed("1e-3, 0.2", "-1, 0.2", changed("log_uniform: [1e-3", ("uniform: [1e-3"))),
        "f.yaml:21: optimizer/lr: got -1.0; input should be greater than 0",
    ),
    "low above high": search(changed("1e-3, 0.2", "2, 1"), "f.yaml:21: optimizer/lr: log_uniform"),
    "unknown data": search(
        changed("kind: digits", "kind: digit"), "f.yaml:2: data/kind: got 'digit'"
    ),
    "unknown objective": search(
        SEARCH_FILE + "objectives: {speed: {direction: maximize, reference: 0}}\n",
        "f.yaml:25: objectives/speed: no trial reports 'speed'; objectives can be clean_accuracy",
    ),
    "nothing to search": search(FIXED_FILE, "f.yaml: nothing to search, no setting is a distrib"),
    "data that are not there": search(
        CIFAR, "cifar10 is not in nowhere/cifar-10-batches-py: set data/download"
    ),
    "images that are not there": search(FOLDER, "nowhere/train: no such folder; data/root must"),
    # options of search
    "no trials": option("--trials 0", "--trials: got 0; input should be greater than or equal"),
    "late first rung": option("--min-epochs 99", "min_epochs must be at most max_epochs, got min"),
    "no epochs": option("--max-epochs -1", "--max-epochs: got -1; input should be greater than"),
    "no time": option("--time-budget 0", "--time-budget: got 0.0; input should be greater than 0"),
    "endless time": option("--time-budget inf", "--time-budget: got inf; input should be a finite"),
    "no CPUs": option("--cpus-per-trial 0", "--cpus-per-trial: got 0.0; input should be greater"),
    "no such word": option(
        "--gpus-per-trial x", "--gpus-per-trial: got 'x'; input should be a valid number or 'auto'"
    ),
    "less than no GPUs": option("--gpus-per-trial -1", "--gpus-per-trial: got -1.0; input should"),
    "two GPUs": option("--gpus-per-trial 2", "--gpus-per-trial: a trial trains on one GPU, the "),
    "two GPUs in a file": search(
        SEARCH_FILE.replace("search: {", "search: {gpus_per_trial: 2, "),
        "f.yaml:24: search/gpus_per_trial: a trial trains on one GPU, the others would be idle, ",
    ),
    "none at once": option("--max-concurrent 0", "--max-concurrent: got 0; input should be"),
    "negative seed": option("--seed -1", "--seed: got -1; input should be greater than or equal"),
    "name with a slash": option("--name a/b", "--name: a name has up to 100 letters, digits"),
    "name of the folder above": option("--name ..", "got '..'"),
    "hidden name": option("--name .a", "got '.a'"),
    "empty name": option("--name=", "got ''"),
    "long name": option(f"--name {'x' * 101}", "--name: a name has up to 100 letters"),
    "runs in files": option("--tracking-uri file:mlruns", "cannot keep runs in 'file:mlruns'"),
    "runs in a folder": option("--tracking-uri mlruns", "MLflow cannot keep runs in 'mlruns'"),
    # train, evaluate, ui
    "distributions": train(SEARCH_FILE, "f.yaml: 13 settings are distributions (model/width, "),
    "bad epochs": train(FIXED_FILE, "--max-epochs: got 0", "--max-epochs 0"),
    "bad seed": train(FIXED_FILE, "training/seed: got -1", "--seed -1"),
    "model over a folder": Mistake(
        "train f.yaml --to there", "there exists already", (("f.yaml", FIXED_FILE), ("there/a", ""))
    ),
    "training data that are not there": train(
        changed("digits", "svhn, root: nowhere", FIXED_FILE), "svhn is not in nowhere"
    ),
    "training runs in files": train(FIXED_FILE, "cannot keep runs", "--tracking-uri file:x"),
    "no model": Mistake("evaluate absent", "absent is not an exported model: it has no trial.yaml"),
    "model without weights": Mistake(
        "evaluate m",
        "m is not an exported model: it has no model.safetensors",
        (("m/trial.yaml", ""),),
    ),
    "evaluation in files": Mistake("evaluate m --tracking-uri file:x", "cannot keep runs"),
    "nothing to show": Mistake("ui", "mlflow.db yet: run tunebox search, or name its folder"),
    "pages of files": Mistake("ui --tracking-uri file:x", "MLflow cannot keep runs in 'file:x'"),
    # clusters
    "no cluster": Mistake("search digits --cluster c.yaml", "c.yaml cannot be read: No such file"),
    "no cluster to watch": Mistake("attach a --cluster c.yaml", "c.yaml cannot be read: No such"),
    "no cluster to stop at": Mistake("stop a --cluster c.yaml", "c.yaml cannot be read: No such"),
    "no pages to show": Mistake("ui --cluster c.yaml", "c.yaml cannot be read: No such file"),
    "pages here and there": Mistake(
        "ui --cluster c.yaml --out here", "--cluster forwards 127.0.0.1 to MLflow on the head;"
    ),
    "no file of a cluster": Mistake(
        "attach a --cluster c.yaml", "c.yaml: no cluster_name; give", (("c.yaml", "a: 1"),)
    ),
    "nothing to attach to": Mistake("attach a", "Missing option '--cluster'; see tunebox -h"),
    "two places": Mistake(
        "search digits --cluster c.yaml --address local", "address local and --cluster both choose"
    ),
    "password for a cluster": Mistake(
        "search digits --cluster c.yaml --tracking-uri http://me:secret@host",
        "--tracking-uri with a password would be shown by Ray; set MLFLOW_TRACKING_URI in",
    ),
    "mistake in a file for a cluster": Mistake(
        "search f.yaml --cluster c.yaml", "f.yaml: nothing to search", (("f.yaml", FIXED_FILE),)
    ),
    "file of a search that goes on there": Mistake(
        "search digits --resume a --cluster c.yaml", "--resume needs no file: the settings are"
    ),
    "no search to stop": Mistake("stop absent-1", "no search 'absent-1' in results; it has none"),
    # searches
    "no search": Mistake("front absent-1", "no search 'absent-1' in results; it has none; --out"),
    "search elsewhere": Mistake("front a/b", "no search 'a/b' in results; it has none; --out"),
    "search above": Mistake("front ../home", "no search '../home' in results"),
    "no recording": Mistake("replay absent-1", "no search 'absent-1' in results; it has none"),
    "no seeds": Mistake("replay a --seeds 0", "'--seeds': Input should be greater than or equal"),
    "no search to resume": Mistake("search --resume a", "no search 'a' in results; it has none"),
    "two names": Mistake("search --resume a --name b", "--resume names the search already"),
    "no failures at all": Mistake("search --max-failures -1", "--max-failures: got -1"),
    "fraction above one": Mistake("search --max-failed-fraction 2", "--max-failed-fraction: got 2"),
    "no search to export": Mistake("export absent-1 --to e", "no search 'absent-1' in results"),
    "no search to sync": Mistake("sync absent-1", "no search 'absent-1' in results; it has none"),
    "search above to sync": Mistake("sync ../home", "no search '../home' in results"),
    "no folder of searches": Mistake("front a --out nowhere", "no search 'a' in nowhere"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_one_line_and_nothing_is_written(run: Run, home: Path, name: str) -> None:
    mistake = MISTAKES[name]
    for path, text in mistake.files:
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(text, encoding="utf-8")
    before = content(home)
    assert_one_line(run(*mistake.arguments.split()), mistake.message)
    assert content(home) == before


def assert_one_line(done: Ended, message: str) -> None:
    assert done.code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.endswith("\n")
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("front absent-1", "no search 'absent-1' in results; it has made-1; --out names another"),
        ("front made-1 absent-1", "no search 'absent-1' in results; it has made-1"),
        ("front made-1/../made-1", "no search 'made-1/../made-1' in results"),
        ("export made-1 --pick best:speed --to e", "no trial on the front reports 'speed'; pick"),
        ("export made-1 --pick nothing --to e", "no trial 'nothing'; pick one of all, knee, best:"),
        ("export made-1 --to there", "there/t0"),
        (
            "replay made-1 --set trials=5",
            "'trials' is no setting of a replay; it has min_epochs, reduction_factor",
        ),
        ("replay made-1 --set min_epochs", "'min_epochs' is not KEY=VALUE; give settings like"),
        ("replay made-1 --set min_epochs=99", "min_epochs must be at most max_epochs, got"),
        ("stop made-1", "made-1 does not run: nothing to stop"),
        ("sync made-1", "made-1/journal.jsonl cannot be read: No such file or directory"),
        ("search digits --name made-1", "made-1 exists already; go on with it (--resume made-1)"),
        ("search digits --resume made-1", "got the name 'made-1' and the file 'digits'"),
        ("search --resume made-1 --seed 9", "--seed 9: a search that is resumed keeps its seed="),
        ("search --resume made-1", "made-1/journal.jsonl cannot be read: No such file"),
    ],
)
def test_mistake_about_a_search_that_is_there(
    run: Run, home: Path, made_search: str, arguments: str, message: str
) -> None:
    for number in range(12):
        (home / "there" / f"t{number:03d}").mkdir(parents=True)
    before = content(home)
    assert_one_line(run(*arguments.split()), message)
    assert content(home) == before


def test_damaged_table_is_one_line(run: Run, home: Path, made_search: str) -> None:
    (home / "results" / made_search / "trials.parquet").write_bytes(b"PAR1")
    assert_one_line(run("front", made_search), "trials.parquet cannot be read: ")


def test_variable_names_the_folder_of_all_searches(
    run: Run, home: Path, made_search: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "results").rename(home / "shared")
    assert_one_line(run("front", made_search), "no search 'made-1' in results")
    monkeypatch.setenv("TUNEBOX_OUT", str(home / "shared"))
    assert f"  {home}/shared/made-1/front.parquet\n" in run("front", made_search).stdout
    assert_one_line(run("front", made_search, "--out", "other"), "no search 'made-1' in other")


def test_front_is_printed(run: Run, made_search: str) -> None:
    done = run("front", made_search)
    assert (done.code, done.stderr) == (0, "")
    log = make_log(12)
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert lines[0] == (
        f"Front of made-1: {len(log.front())} of 12 trials, hypervolume {log.hypervolume():.4f}"
    )
    assert [line.split()[0] for line in lines[3 : 3 + len(log.front())]] == [
        trial.trial_id for trial in log.front()
    ]
    assert "  results/made-1/front.parquet" in lines


def test_report_is_written(run: Run, home: Path, made_search: str) -> None:
    done = run("report", made_search)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout == "results/made-1/report.html\n"
    assert (home / "results" / made_search / "report.html").stat().st_size > 1_000_000
    run("report", made_search, "--to", "mine.html")
    assert (home / "mine.html").is_file()
    assert_one_line(run("report", made_search, "--to", "results"), "results is a folder; give")
    assert_one_line(run("report", "absent-1"), "no search 'absent-1' in results")


def test_front_is_printed_for_programs(run: Run, made_search: str) -> None:
    done = run("front", made_search, "--json")
    [printed] = json.loads(done.stdout)
    assert (printed["search"], printed["trials"]) == ("made-1", 12)
    assert [row["trial"] for row in printed["front"]] == [t.trial_id for t in make_log(12).front()]


def test_checked_file_from_stdin(run: Run, home: Path) -> None:
    done = run("spaces", "check", "-", stdin=SEARCH_FILE)
    assert (done.code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == (
        "<stdin> is valid: 13 searched leaves, objectives clean_accuracy, noisy_accuracy"
    )
    assert len(lines) == 6
    assert all(line.startswith("- model/width ") for line in lines[1:])
    assert content(home) == {}
    assert run("spaces", "check", "-", "--seed", "1", stdin=SEARCH_FILE).stdout != done.stdout


def test_check_shows_constraints_and_starting_points(run: Run) -> None:
    text = SEARCH_FILE + "constraints: {clean_accuracy: {min: 0.9}}\nstart: [{losses: ours}]\n"
    printed = run("spaces", "check", "-", stdin=text).stdout.splitlines()
    assert printed[1] == "constraints clean_accuracy >= 0.9"
    assert printed[2] == "- start with losses ours"
    assert len(printed) == 3 + 5


def test_mistake_from_stdin(run: Run) -> None:
    assert_one_line(run("spaces", "check", "-", stdin=""), "<stdin>:1: a search file is a mapping")
    text = changed("kind: digits", "kind: digit")
    assert_one_line(run("spaces", "check", "-", stdin=text), "<stdin>:2: data/kind: got 'digit'")


def test_names_are_printed_as_they_are(run: Run, home: Path) -> None:
    (home / "[bold]:x:.yaml").write_text(
        changed("on: clean}\n    noisy", "on: clean}\n    '[red]'", SEARCH_FILE)
    )
    done = run("spaces", "check", "[bold]:x:.yaml")
    assert done.stdout.startswith("[bold]:x:.yaml is valid: ")
    drawn = [run("spaces", "check", "[bold]:x:.yaml", "--seed", str(n)).stdout for n in range(3)]
    assert "losses [red]" in "".join(drawn)


def test_shipped_files_are_listed(run: Run) -> None:
    done = run("spaces")
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.split()[:5] == ["file", "asks", "data", "objectives", "leaves"]
    assert "\ndigits " in done.stdout


def test_port_that_is_taken(run: Run, home: Path) -> None:
    import socket

    (home / "results").mkdir()
    (home / "results" / "mlflow.db").touch()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        done = run("ui", "--port", str(port))
    assert_one_line(done, f"cannot listen on 127.0.0.1:{port}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cpus-per-trial", "1000"], "--cpus-per-trial 1000: the largest node of the cluster"),
        (["--address", "127.0.0.1:1"], "no Ray cluster answers at '127.0.0.1:1'; check --address"),
    ],
)
def test_cluster_that_is_too_small_or_not_there(
    tmp_path: Path, options: list[str], message: str
) -> None:
    address = [] if "--address" in options else ["--address", "local"]
    set_by_others = ("MLFLOW_TRACKING_URI", "RAY_ADDRESS")
    done = subprocess.run(
        [sys.executable, "-m", "tunebox", "search", "digits", *options, *address],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key not in set_by_others},
        capture_output=True,
        text=True,
        check=False,
    )
    assert_one_line(Ended(done.returncode, done.stdout, done.stderr), message)
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_that_breaks_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def list_files() -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("tunebox.spec.load.shipped_files", list_files)
    assert run("spaces") == Ended(2, "", "error: Broken pipe\n")


def test_standard_output_without_a_reader_is_no_mistake(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout:
        command = [sys.executable, "-m", "tunebox", "spaces"]
        done = subprocess.run(
            command, cwd=tmp_path, stdout=stdout, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (1, "")
