"""Who may import what, read from the source; what is slow to import is not imported for nothing."""

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


@dataclass(frozen=True)
class Import:
    """An import statement: of what, and whether it runs when the module is imported."""

    module: str
    at_top: bool
    for_types_only: bool


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
            yield Import(child.module, at_top and not for_types, for_types)
            if child.module == "tunebox":
                for alias in child.names:
                    yield Import(f"tunebox.{alias.name}", at_top and not for_types, for_types)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            yield from _walk(child, at_top, True)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _walk(child, at_top and not inside, for_types)


def place(path: Path) -> str:
    """The folder of a file inside the package, or its name where it lies at the top."""
    parts = path.relative_to(ROOT).parts
    return parts[0]


def importers(library: str, *, at_top_only: bool = False, types_too: bool = False) -> set[str]:
    """The files that import ``library``, relative to the package."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in FILES
        for found in imports_of(path)
        if found.module.split(".")[0] == library
        and (found.at_top or not at_top_only)
        and (types_too or not found.for_types_only)
    }


def inside(folder: str) -> set[str]:
    """What of the package the files in ``folder`` import, as ``folder`` or ``folder/module``."""
    found = set()
    for path in FILES:
        if place(path) != folder:
            continue
        for statement in imports_of(path):
            head, *rest = statement.module.split(".")
            if head == "tunebox" and rest and rest[0] != folder:
                found.add("/".join(rest[:2]))
    return found


def test_the_package_was_read() -> None:
    assert len(FILES) > 70
    assert {"data", "losses", "pareto", "records", "search", "spec"} <= set(map(place, FILES))
    assert "cli.py" in {place(path) for path in FILES}


def test_search_alone_imports_optuna() -> None:
    found = importers("optuna", types_too=True)
    assert {file.split("/")[0] for file in found} == {"search"}


def test_search_imports_ray_and_cluster_hands_jobs_to_it() -> None:
    found = importers("ray", types_too=True)
    assert {file.split("/")[0] for file in found} == {"search", "cluster"}
    # a laptop asks Ray where a cluster is, and its jobs: it runs none itself
    assert {file for file in found if file.startswith("cluster/")} == {
        *("cluster/head.py", "cluster/jobs.py"),
    }
    assert not {file for file in importers("ray", at_top_only=True) if file.startswith("cluster/")}


@pytest.mark.parametrize("library", ["mlflow", "pyarrow"])
def test_records_alone_imports_mlflow_and_pyarrow(library: str) -> None:
    found = importers(library)
    assert found
    # the pages of MLflow are asked for their address
    assert {file.split("/")[0] for file in found} <= {"records", "ui.py"}
    assert importers(library, types_too=True) - found <= {"api.py"}
    assert {file.split("/")[0] for file in importers(library, at_top_only=True)} <= {"records"}


def test_torch_is_imported_at_once_only_where_all_is_torch() -> None:
    at_top = importers("torch", at_top_only=True) | importers("torchvision", at_top_only=True)
    assert {file.split("/")[0] for file in at_top} <= {
        *("data", "losses", "models", "noise", "training"),
        "search",
    }
    assert {file for file in at_top if file.startswith("search/")} <= {"search/trainable.py"}
    without = {"training/metrics.py", "data/check.py", "data/files.py", "data/download.py"}
    assert not at_top & without
    assert not [file for file in at_top if file.endswith("/settings.py")]


def test_torchvision_is_imported_inside_the_function_that_uses_it() -> None:
    assert importers("torchvision")
    assert not importers("torchvision", at_top_only=True)


def test_pareto_is_numpy_and_moocore() -> None:
    standard = set(sys.stdlib_module_names)
    for path in FILES:
        if place(path) != "pareto":
            continue
        for found in imports_of(path):
            head = found.module.split(".")[0]
            assert head in {"numpy", "moocore", "tunebox"} | standard, (path, found.module)
    assert inside("pareto") == set()


PARTS = ("data", "models", "noise", "losses")
COMMON = {"settings", "errors"}
ALLOWED = {
    "data": COMMON,
    "models": COMMON,
    "noise": COMMON,
    "losses": COMMON | {"noise/settings"},
}


@pytest.mark.parametrize("part", PARTS)
def test_parts_of_a_trial_do_not_know_each_other(part: str) -> None:
    assert inside(part) <= ALLOWED[part]


def test_spec_imports_settings_of_the_parts_only() -> None:
    for name in inside("spec"):
        folder, _, module = name.partition("/")
        if folder in (*PARTS, "training"):
            assert module in ("settings", "metrics"), name
        else:
            assert folder in ("settings", "errors", "pareto"), name


@pytest.mark.parametrize(
    ("folder", "others"),
    [
        ("search", {"records", "cli", "api", "train", "evaluate", "ui", "progress", "tables"}),
        ("records", {"search", "cli", "api", "train", "evaluate", "ui", "progress", "tables"}),
        ("training", {"search", "records", "pareto", "cli", "api", "trials", "train", "evaluate"}),
        ("spec", {"search", "records", "cli", "api", "trials", "cluster"}),
        ("cluster", {"search", "training", "cli"}),
    ],
)
def test_folder_does_not_import(folder: str, others: set[str]) -> None:
    assert {name.split("/")[0] for name in inside(folder)} & others == set()


SLOW = ("torch", "torchvision", "ray", "mlflow", "optuna", "sklearn", "plotly", "matplotlib")
PROGRAM = f"""
import sys
from tunebox.cli import main
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
        (["export", "absent", "--to", "x"], 2),
        (["sync", "absent"], 2),
        (["search", "absent.yaml"], 2),
        (["search", "digits", "--trials", "0"], 2),
        (["train", "digits"], 2),
        (["ui"], 2),
        (["search", "digits", "--cluster", "absent.yaml"], 2),
        (["attach", "absent", "--cluster", "absent.yaml"], 2),
        (["stop", "absent"], 2),
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
        (["replay", "made-1", "--seeds", "1", "--budget", "9"], "48 recorded trials", " optuna"),
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
