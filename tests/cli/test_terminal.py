"""What is printed is text, on any terminal."""

from __future__ import annotations

import io
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.table import Table

from tests.records.make_log import make_log, make_spec
from tests.spec.make_spec import FIXED_FILE
from tunebox.cli.common import end_search
from tunebox.cli.tables import describe_failures, describe_settings, print_search
from tunebox.cli.terminal import complain, has_reader, make_console, printer, say
from tunebox.decisions.trials import Report, TrialLog, TrialRecord, TrialState
from tunebox.pareto.objectives import Objective, Objectives
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.records.trial_tables import write_tables
from tunebox.spec.write import search_yaml
from tunebox.text import printable
from tunebox.verbs.results import SearchResult

HOSTILE = "\x1b[2J\x07\u202e`|<script>\r$(x)"
SHOWN = printable(HOSTILE)


def hostile_result(folder: SearchFolder) -> SearchResult:
    """A search in which each word that somebody else chose is hostile."""
    log = TrialLog(Objectives([Objective(HOSTILE, maximize=True, reference=0.0)]))
    for name, state in (("0000", TrialState.FINISHED), ("0001", TrialState.FAILED)):
        trial = TrialRecord(name, {HOSTILE: HOSTILE}, 0.0, state, reason=HOSTILE, node=HOSTILE)
        trial.history.append(Report(1, {HOSTILE: 0.5}, 1.0))
        log.trials[name] = trial
    return SearchResult(
        name="s-1",
        out=f"/out/{HOSTILE}",
        folder=folder,
        log=log,
        tracking_uri=f"http://host/{HOSTILE}",
        interrupted=False,
        ended=HOSTILE,
        is_complete=False,
        warnings=[HOSTILE],
        go_on=HOSTILE,
        trouble=HOSTILE,
        traceback=f"Traceback:\n  {HOSTILE}\n",
    )


def controls(text: str) -> set[str]:
    return {char for char in text if printable(char) != char} - {"\n"}


@pytest.mark.parametrize("is_terminal", [False, True])
def test_no_word_of_a_search_controls_the_terminal(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_terminal: bool,
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    if is_terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    result = hostile_result(SearchFolder(tmp_path / HOSTILE.replace("/", "")))
    console = make_console()
    assert console.is_terminal is is_terminal
    with pytest.raises(typer.Exit):
        end_search(console, result, tracking_uri=result.tracking_uri)
    printer(console)(HOSTILE)
    for line in (describe_settings({HOSTILE: HOSTILE}), *describe_failures(result.log)):
        console.print(line)
    say(HOSTILE)
    complain(HOSTILE)
    printed = capsys.readouterr()
    assert controls(printed.err) == set()
    assert controls(printed.out) <= ({"\x1b"} if is_terminal else set())
    for sequence in ("\x1b[2J", "\x1b]", "\u202e", "\x07", "\r"):
        assert sequence not in printed.out
    assert printed.out.count(SHOWN) >= 8  # as text it is there
    assert printed.err.count(SHOWN) == 3
    assert "\n  \\x1b[2J" in printed.err  # the lines of a traceback stay lines


def test_a_remark_on_a_resume_cannot_be_a_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    result = hostile_result(SearchFolder(tmp_path / "s-1"))
    print_search(make_console(), result, None)
    commands = [line for line in capsys.readouterr().out.splitlines() if " tunebox " in line]
    assert len(commands) == 6
    for line in commands:
        words = line.removeprefix("next").strip().partition(" #")[0]
        asked = 'tunebox() { printf "%s\\n" "$@"; }; '
        done = subprocess.run(
            ["bash", "-c", asked + words], capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        assert "/out/\x1b[2J" in done.stdout  # the word as it is, for the command


@pytest.mark.parametrize("has_front", [True, False])
def test_only_a_front_is_to_be_confirmed_and_exported(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    has_front: bool,
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    result = hostile_result(SearchFolder(tmp_path / "s-1"))
    if not has_front:
        del result.log.trials["0000"]
    print_search(make_console(), result, None)
    shown = capsys.readouterr().out
    assert "tunebox report" in shown
    assert ("tunebox confirm" in shown) == has_front
    assert ("tunebox export" in shown) == has_front


def test_widths_of_a_table_are_those_of_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    monkeypatch.setattr(sys, "stdout", text)
    monkeypatch.setenv("COLUMNS", "100")
    table = Table("one", "two", box=None, pad_edge=False)
    table.add_row(HOSTILE, "next")
    table.add_row("x" * len(SHOWN), "last")
    make_console().print(table)
    _, first, second = text.getvalue().splitlines()
    assert first.startswith(f"{SHOWN} ")
    assert first.index("next") == second.index("last")


ENCODINGS = {
    "ascii by variable": {"PYTHONIOENCODING": "ascii"},
    "the C locale": {"LC_ALL": "C", "LANG": "C"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
}

COMMANDS = """
import sys
from tunebox.cli.main import main

codes = []
for arguments in [
    ["parts"],
    ["front", "made-1", "--out", "é✓"],
    ["spaces", "check", "ü.yaml"],
    ["front", "日本", "--out", "é✓"],
]:
    sys.argv[1:] = arguments
    try:
        main()
    except SystemExit as end:
        codes.append(end.code or 0)
print(*codes)
"""


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_terminal_that_lacks_characters_gets_their_codes(tmp_path: Path, name: str) -> None:
    spec, log = make_spec(), make_log(12)
    folder = create_folder(tmp_path / "é✓", "made-1")
    folder.search_file.write_text(search_yaml(spec), encoding="utf-8")
    write_tables(folder, log, spec.space.leaves)
    (tmp_path / "ü.yaml").write_text(f"# Welche Größe — µ?\n{FIXED_FILE}", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        cwd=tmp_path,
        env={**os.environ, **ENCODINGS[name]},
        capture_output=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == b"0 0 0 2"
    [error] = done.stderr.splitlines()  # of the last command
    assert error.startswith(b"error: no search ")
    if name == "ascii by variable":
        assert (done.stdout + done.stderr).isascii()


def test_what_is_said_is_there_at_once_although_the_command_runs_on() -> None:
    code = "from tunebox.cli.terminal import say; say('served'); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        there, _, _ = select.select([process.stdout], [], [], 60)
        process.stdin.write("\n")
        process.stdin.close()
        assert there
        assert process.stdout.read() == "served\n"


def test_a_pipe_has_a_reader_until_its_other_end_is_closed() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        assert has_reader(stream)
        os.close(reader)
        assert not has_reader(stream)
    assert has_reader(io.StringIO())  # no file
