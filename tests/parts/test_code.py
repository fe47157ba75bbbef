"""Where user code is found, what is copied of it, and what cannot be."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tunebox.parts.code import (
    SUMS_FILE,
    CodeFinder,
    OwnCodeError,
    code_files,
    named_objects,
    references_in,
    write_code,
)


def test_references_are_kinds_and_metrics_wherever_they_stand() -> None:
    tree = {
        "model": {"kind": {"choice": ["mlp", "a.py:A"]}, "name": {"choice": ["hub:x", "y"]}},
        "losses": {"choice": {"x": {"t": {"kind": "b.py:B"}}, "y": {"kind": "gaussian"}}},
        "evaluation": {"metrics": ["clean_accuracy", "c.py:C", {"kind": "d:D"}]},
    }
    assert list(references_in(tree)) == ["a.py:A", "b.py:B", "c.py:C", "d:D"]


def test_copies_win_over_the_originals(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f(): return 1", encoding="utf-8")
    here = CodeFinder(tmp_path)
    write_code(code_files(here, ["a.py:f"]), tmp_path / "code")
    (tmp_path / "a.py").write_text("def f(): return 2", encoding="utf-8")
    assert here.find("a.py:f")() == 2
    assert CodeFinder(tmp_path, tmp_path / "code").find("a.py:f")() == 1


@pytest.mark.parametrize("name", ["a.py", SUMS_FILE])
def test_a_flipped_bit_in_copies_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.py").write_text("def f(): return 1\n", encoding="utf-8")
    write_code(code_files(CodeFinder(tmp_path), ["a.py:f"]), tmp_path / "code")
    content = (tmp_path / "code" / name).read_bytes()
    for bit in range(8 * (len(content) - 1)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        (tmp_path / "code" / name).write_bytes(flipped)
        with pytest.raises(OwnCodeError, match=r"is not the code that was recorded|SHA256SUMS"):
            CodeFinder(tmp_path, tmp_path / "code").find("a.py:f")


def test_a_package_is_copied_whole_and_what_is_installed_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "made_package" / "sub"
    package.mkdir(parents=True)
    for path in (tmp_path / "made_package" / "__init__.py", package / "__init__.py"):
        path.touch()
    (package / "more.py").write_text("def g(): return 3", encoding="utf-8")
    (package / "part.py").write_text("from .more import g as f", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    finder = CodeFinder(tmp_path)
    assert finder.find("made_package.sub.part:f")() == 3
    files = code_files(finder, ["made_package.sub.part:f", "torch.optim:SGD"])
    assert set(files) == {
        "made_package/__init__.py",
        *(f"made_package/sub/{name}.py" for name in ("__init__", "more", "part")),
        SUMS_FILE,
    }


def test_two_copies_of_one_package_are_two(tmp_path: Path) -> None:
    found = []
    for number in (1, 2, 1):
        package = tmp_path / str(number) / "same_package"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
        (package / "part.py").write_text(f"def f(): return {number}", encoding="utf-8")
        copies = CodeFinder(copies=tmp_path / str(number))
        found.append(copies.find("same_package.part:f")())
    assert found == [1, 2, 1]


def test_a_package_that_was_edited_is_read_anew(tmp_path: Path) -> None:
    """As in a notebook, whose process stays."""
    package = tmp_path / "edited_parts"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    module = package / "sizes.py"
    finder = CodeFinder(tmp_path)
    found = []
    for size, day in ((1, 1), (1, 1), (22, 2)):
        text = f"def size():\n    return {size}\n"
        if not module.exists() or module.read_text(encoding="utf-8") != text:
            module.write_text(text, encoding="utf-8")
            moment = time.time() + 5 * (day - 1)
            os.utime(module, (moment, moment))
        found.append(finder.find("edited_parts.sizes:size"))
    assert found[0] is found[1]
    assert [function() for function in found] == [1, 1, 22]


def test_a_helper_that_would_not_be_copied_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made_helper.py").write_text("K = 1", encoding="utf-8")
    (tmp_path / "a.py").write_text("import made_helper\ndef f(): pass", encoding="utf-8")
    with pytest.raises(OwnCodeError, match=r"a.py:1: ModuleNotFoundError: .* make a package"):
        CodeFinder(tmp_path).find("a.py:f")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(OwnCodeError, match=r"a.py:1: made_helper is not copied to where"):
        CodeFinder(tmp_path).find("a.py:f")


def test_an_object_is_no_part() -> None:
    with pytest.raises(OwnCodeError, match="an object of the class Made; give its function"):
        named_objects({"kind": Made()})


class Made:
    def __call__(self) -> None:
        pass


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "a.py").write_text(f"def f(): return {number}", encoding="utf-8")
    with pytest.raises(OwnCodeError, match=r"two different files are called a\.py; rename"):
        code_files(CodeFinder(tmp_path), ["1/a.py:f", "2/a.py:f"])


def test_objects_keep_their_names_and_unlike_ones_get_others() -> None:
    def f() -> int:
        return 1

    def other() -> int:
        return 2

    other.__name__ = "f"
    tree, objects = named_objects({"a": {"kind": f}, "b": [f, other], "c": 3})
    assert tree == {"a": {"kind": "object:f"}, "b": ["object:f", "object:f_2"], "c": 3}
    assert objects == {"f": f, "f_2": other}


def test_what_cannot_be_sent_is_one_line() -> None:
    lock: Any = threading.Lock()

    def guarded(images: Any) -> Any:
        with lock:
            return images

    finder = CodeFinder(objects={"guarded": guarded})
    with pytest.raises(
        OwnCodeError, match=r"'guarded' cannot be sent to a worker .*locks"
    ) as error:
        code_files(finder, ["object:guarded"])
    assert "\n" not in str(error.value)


def test_what_a_program_handed_over_is_read_from_its_copy(tmp_path: Path) -> None:
    def double(x: int) -> int:
        return 2 * x

    sent = CodeFinder(objects={"double": double})
    write_code(code_files(sent, ["object:double"]), tmp_path)
    assert CodeFinder(copies=tmp_path).find("object:double")(4) == 8
    with pytest.raises(OwnCodeError, match="search again from there"):
        CodeFinder().find("object:double")
