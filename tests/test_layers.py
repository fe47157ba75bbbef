"""The rooms of the package: imports go down only, and each slow library has its rooms."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import tunebox

ROOT = Path(tunebox.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if "search_spaces" not in path.parts)

# From the top. A room imports from itself and from lines below its own; the rooms of one line are
# parts of a trial and know nothing of each other.
ROOMS = [
    ["cli"],
    ["verbs"],
    ["remote"],
    ["reports"],
    ["tracking"],
    ["engine"],
    ["records"],
    ["decisions"],
    ["training"],
    ["spec"],
    ["losses"],
    ["data", "models", "noise", "metrics", "optim"],
    ["pareto", "parts"],
]
LEVELS = {room: level for level, line in enumerate(ROOMS) for room in line}
# of all rooms, and their base
ON_TOP = {
    *("__init__.py", "__main__.py", "clock.py", "errors.py"),
    *("proxies.py", "settings.py", "text.py"),
}
LIBRARIES = {  # the rooms that may import a library, other than for types
    "ray": {"engine", "remote"},
    "mlflow": {"tracking", "verbs"},  # the pages of MLflow are asked for their address
    "pyarrow": {"data", "records"},
    "optuna": {"decisions"},
    "moocore": {"pareto"},
    "typer": {"cli"},
    "rich": {"cli", "reports"},
    "plotly": {"reports"},
    "matplotlib": {"reports"},
}
TORCH_AT_ONCE = {"data", "losses", "models", "training"}


@dataclass(frozen=True)
class Import:
    """An import statement: of what, and whether it runs when the module is imported."""

    module: str
    at_top: bool
    for_types: bool


def imports_of(path: Path) -> list[Import]:
    return list(_walk(ast.parse(path.read_text(encoding="utf-8")), True, False))


def _walk(node: ast.AST, at_top: bool, for_types: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, at_top and not for_types, for_types)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            assert child.module is not None
            names = [child.module]
            if child.module == "tunebox":
                names = [f"tunebox.{alias.name}" for alias in child.names]
            for name in names:
                yield Import(name, at_top and not for_types, for_types)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            yield from _walk(child, at_top, True)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _walk(child, at_top and not inside, for_types)


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def test_every_file_is_in_a_room_or_on_top() -> None:
    assert len(FILES) > 70
    assert {room(path) for path in FILES} == set(LEVELS) | ON_TOP


def test_imports_go_down_only() -> None:
    upward = [
        f"{path.relative_to(ROOT)} imports {found.module}"
        for path in FILES
        for found in imports_of(path)
        if found.module.startswith("tunebox.") and room(path) in LEVELS
        for target in [found.module.split(".")[1]]
        if target in LEVELS and target != room(path) and LEVELS[target] <= LEVELS[room(path)]
    ]
    assert upward == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_library_is_imported_in_its_rooms_alone(library: str) -> None:
    rooms = {
        room(path)
        for path in FILES
        for found in imports_of(path)
        if found.module.split(".")[0] == library and not found.for_types
    }
    assert rooms
    assert rooms <= LIBRARIES[library]


def test_torch_is_imported_at_once_only_where_all_is_torch() -> None:
    at_once = {
        path.relative_to(ROOT).as_posix()
        for path in FILES
        for found in imports_of(path)
        if found.module.split(".")[0] in ("torch", "torchvision") and found.at_top
    }
    assert {file.split("/")[0] for file in at_once} <= TORCH_AT_ONCE
    assert not [file for file in at_once if file.endswith("settings.py")]
    torchvision = {
        path
        for path in FILES
        for found in imports_of(path)
        if found.module.split(".")[0] == "torchvision" and found.at_top
    }
    assert not torchvision, "it is slow: import it inside the function that uses it"


SLOW = ("torch", "torchvision", "ray", "mlflow", "optuna", "sklearn", "plotly", "matplotlib")
PROGRAM = f"""
import sys
from tunebox.cli.main import main
sys.argv = ["tunebox", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    code = end.code
loaded = [name for name in {SLOW!r} if name in sys.modules]
print("LOADED", code or 0, *loaded)
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-h"], 0),
        (["--version"], 0),
        (["search", "-h"], 0),
        (["train", "-h"], 0),
        (["spaces"], 0),
        (["spaces", "check", "digits"], 0),
        (["front", "absent"], 2),
        (["report", "absent"], 2),
        (["export", "absent", "--to", "x"], 2),
        (["sync", "absent"], 2),
        (["search", "absent.yaml"], 2),
        (["search", "digits", "--trials", "0"], 2),
        (["train", "digits"], 2),
        (["ui"], 2),
        (["search", "digits", "--cluster", "absent.yaml"], 2),
        (["attach", "absent", "--cluster", "absent.yaml"], 2),
        (["stop", "absent"], 2),
        (["confirm", "absent"], 2),
        (["confirm", "-h"], 0),
    ],
    ids=str,
)
def test_verb_that_trains_nothing_imports_nothing_slow(
    arguments: list[str], code: int, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == f"LOADED {code}"


@pytest.mark.parametrize(
    ("arguments", "first_line", "loaded"),
    [
        (["front", "made-1", "made-1"], "Front of made-1: ", ""),
        # Optuna suggests the trials; nothing is trained, and Ray does not run
        (["replay", "made-1", "--seeds", "1", "--budget", "9"], "54 recorded trials", " optuna"),
    ],
    ids=["front", "replay"],
)
def test_verb_that_reads_a_search_imports_nothing_slow(
    arguments: list[str], first_line: str, loaded: str, tmp_path: Path
) -> None:
    from tests.records.make_log import make_log, make_spec
    from tunebox.records.search_folder import create_folder
    from tunebox.records.trial_tables import write_tables
    from tunebox.spec.write import search_yaml

    spec, log = make_spec(), make_log(144)
    folder = create_folder(tmp_path / "results", "made-1")
    folder.search_file.write_text(search_yaml(spec), encoding="utf-8")
    write_tables(folder, log, spec.space.leaves)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[0].startswith(first_line)
    assert done.stdout.splitlines()[-1] == f"LOADED 0{loaded}"
