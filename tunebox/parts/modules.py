"""Imports modules of user code, from a file or from a package."""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from tunebox.errors import TuneboxError, first_line


class OwnCodeError(TuneboxError):
    """User code cannot be used; the message says where and what was expected."""


def import_file(path: Path) -> ModuleType:
    """Return the module in the file ``path``; the same file with the same text is imported once.

    Raises:
        OwnCodeError: The file cannot be read or imported, or needs a module that is not copied.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise OwnCodeError(
            f"{path} cannot be read ({error.strerror}); the path of a file is relative to the "
            "search file"
        ) from error
    name = f"tunebox_own_{path.stem}_{hashlib.sha256(bytes(path) + source).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look there
    try:
        with _complete(path, name):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def import_from_package(name: str, folders: Sequence[Path], *, is_copy: bool) -> ModuleType:
    """Return the module ``name``.

    Args:
        name: Dotted name.
        folders: Folders that may hold its package, if it is not installed.
        is_copy: Whether the first folder has a copy that is used whatever else there is.

    Raises:
        OwnCodeError: There is no such module, or it cannot be imported.
    """
    spec = find_package(name, folders, is_copy=is_copy)
    path = _file_of(name, spec)
    top = name.partition(".")[0]
    with _complete(path, top):
        module = import_module(name)
    if not is_installed(spec):
        for part in _loaded(top):
            _change_times.setdefault(part, _change_time(part))
    return module


def _file_of(name: str, top: ModuleSpec) -> Path:
    """Return the file of the module ``name`` in the package ``top``, as far as it is one."""
    places = top.submodule_search_locations
    if not places or is_installed(top):
        return Path(name)
    path = Path(next(iter(places))).parent / Path(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def find_package(name: str, folders: Sequence[Path], *, is_copy: bool) -> ModuleSpec:
    """Return the spec of the top package of ``name`` after making it importable.

    A package of the same name that was imported from elsewhere is forgotten: two exported models
    may bring different code under one name. So is one that was edited since, as in a notebook.

    Raises:
        OwnCodeError: There is no such package.
    """
    top = name.partition(".")[0]
    holder = next((folder for folder in folders if has_module(folder, top)), None)
    if is_copy and holder is not None:
        _put_first(holder)
    elif (loaded := _spec(top)) is None or _is_copy(loaded):
        if holder is None:
            places = " or in ".join(dict.fromkeys(map(str, folders)))
            raise OwnCodeError(f"no module {top!r}, neither installed nor in {places}")
        _put_first(None)
        sys.path.append(str(holder))
    found = _spec(top)
    if found is not None and top in sys.modules:
        if _was_edited(top) or _places(found) != _loaded_from(top):
            for module in _loaded(top):
                del sys.modules[module]
                _change_times.pop(module, None)
    found = _spec(top)
    assert found is not None
    return found


_copies_on_path: list[str] = []
_change_times: dict[str, float | None] = {}  # of imported modules of the user's own


def _put_first(copies: Path | None) -> None:
    """Let imports look into a folder of copies first, and into no other such folder."""
    for folder in _copies_on_path:
        if folder in sys.path:
            sys.path.remove(folder)
    _copies_on_path[:] = [] if copies is None else [str(copies)]
    sys.path[:0] = _copies_on_path
    importlib.invalidate_caches()


def _is_copy(spec: ModuleSpec) -> bool:
    return any(
        Path(place).is_relative_to(folder) for place in _places(spec) for folder in _copies_on_path
    )


def _places(spec: ModuleSpec) -> list[str]:
    """Return the folder of a package, or the file of a module."""
    if spec.submodule_search_locations is not None:
        return [str(place) for place in spec.submodule_search_locations]
    return [spec.origin] if spec.origin else []


def _loaded_from(top: str) -> list[str]:
    spec = sys.modules[top].__spec__
    return [] if spec is None else _places(spec)


def _loaded(top: str) -> list[str]:
    return [name for name in sys.modules if name == top or name.startswith(f"{top}.")]


def _was_edited(top: str) -> bool:
    """Return whether a file of a package of the user's own changed since it was imported."""
    loaded = (name for name in _loaded(top) if name in _change_times)
    return any(_change_time(name) != _change_times[name] for name in loaded)


def _change_time(module: str) -> float | None:
    try:
        return os.path.getmtime(sys.modules[module].__file__ or "")
    except (OSError, AttributeError):
        return None


def _spec(top: str) -> ModuleSpec | None:
    """Return where an import of the package ``top`` would find it now."""
    try:
        return importlib.machinery.PathFinder.find_spec(top) or importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None


def has_module(folder: Path, top: str) -> bool:
    """Return whether ``folder`` has the package or the module ``top``."""
    return (folder / top).is_dir() or (folder / f"{top}.py").is_file()


def is_installed(spec: ModuleSpec) -> bool:
    """Return whether a package is installed, and so expected on every node."""
    if spec.origin in ("built-in", "frozen"):
        return True
    folders = {Path(sysconfig.get_path(key)) for key in ("purelib", "platlib", "stdlib")}
    for place in map(Path, _places(spec)):
        if any(place.is_relative_to(folder) for folder in folders):
            return True
        if {"site-packages", "dist-packages"} & set(place.parts):
            return True
    return False


@contextmanager
def _complete(path: Path, name: str) -> Iterator[None]:
    """Turn errors of an import into one line, and refuse imports of what would not be copied.

    Args:
        path: File of the user code.
        name: Its module, or its top package, all of which is copied.
    """
    try:
        yield
    except Exception as error:
        hint = ""
        if isinstance(error, ModuleNotFoundError):
            hint = "; install it, or make a package of both and name it: package.module:Name"
        raise OwnCodeError(f"{_place_of(error, path)}: {_short(error)}{hint}") from error
    for line, other in _imports(path):
        spec = getattr(sys.modules.get(other), "__spec__", None)
        is_ours = other in (name, "tunebox") or spec is None or is_installed(spec)
        if not is_ours and not _is_distribution(other):  # such as an editable installation
            raise OwnCodeError(
                f"{path}:{line}: {other} is not copied to where trials run; make a package of both "
                "and name it: package.module:Name"
            )


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of the imports in a file, and the top packages that they name."""
    if path.suffix != ".py" or not path.is_file():
        return
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module.partition(".")[0]


def _is_distribution(top: str) -> bool:
    try:
        importlib.metadata.distribution(top)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _place_of(error: Exception, path: Path) -> str:
    """Return the file and the line at which ``error`` was raised, if that is in ``path``."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename) == path
    ]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _short(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg}"
    return f"{type(error).__name__}: {first_line(error)}"
