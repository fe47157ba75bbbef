"""The text of others in a terminal and in a shell."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tunebox.errors import OptionError, TuneboxError
from tunebox.text import printable, printable_lines, shell_command

NAMES = (
    *("plain", "two words", "a?b%2Fc d'\"$(x)`y`", "", "*", "~", "#x", "a;b", "\\", "é", "日本"),
    *("-o", "\x1b[31mred", "line\nbreak", "\u202eevil", "tab\t", "'\x07'", "back\\slash\x01"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_shell_gets_the_words_back(name: str) -> None:
    line = shell_command("printf", "%s\\0", name, "next")
    assert printable(line) == line
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert done.stdout == name.encode() + b"\0next\0"
    if name.isprintable():
        assert shlex.split(line) == ["printf", "%s\\0", name, "next"]


def test_a_path_is_no_option_and_keeps_its_bytes(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"\xff\n")
    odd.write_text("here")
    line = shell_command("cat", odd)
    assert subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout == b"here"
    assert shell_command("sed", Path("-x/f")) == "sed ./-x/f"


@given(st.text(st.characters(), max_size=30))
@example("\x1b]0;title\x07\x9b31m")
@example("a\r\nb\x85c\u2028d\u2029e\u202ef\u2066g\ufeffh\udc80i\x7f")
def test_nothing_in_a_line_controls_the_terminal(text: str) -> None:
    shown = printable(text)
    assert shown.splitlines() in ([], [shown])
    assert not {char for char in shown if ord(char) < 32 or 127 <= ord(char) < 160}
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
    shown.encode()  # no halves of characters
    assert printable(shown) == shown


def test_what_can_be_read_stays_as_it_is() -> None:
    for text in (
        "",
        "losses/ours 0.5 µs — ✓ 日本 العربية",
        "non\u00a0breaking",
        "\u0645\u06cc\u200c\u062e",
    ):
        assert printable(text) == text
    assert printable("a\tb\x1b[1m") == r"a\tb\x1b[1m"
    assert printable_lines("\x1b[36mray\x1b[39m\n\tx\x1b[2J\n") == "ray\n        x\\x1b[2J\n"


def test_an_error_is_a_line_that_controls_no_terminal() -> None:
    assert str(TuneboxError("a\x1b[2J\nb")) == r"a\x1b[2J\nb"
    assert str(OptionError("name", ": got '\x07'")) == r"name: got '\x07'"
