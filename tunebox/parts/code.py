"""User code: found by a reference, and copied into the folder of a search.

A reference is ``file.py:Name``, ``package.module:Name``, or ``object:Name`` for an object passed
from Python. Packages that are installed here must be installed wherever a trial runs. All other
code is copied into the folder of the search, where trials, resumes and exports read it.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

from tunebox.errors import first_line, reading
from tunebox.parts.modules import (
    OwnCodeError,
    find_package,
    has_module,
    import_file,
    import_from_package,
    is_installed,
)

__all__ = ["CodeFinder", "OwnCodeError"]

_SHOWN = 10  # names in a message
CODE_VARIABLE = "TUNEBOX_CODE"
SUMS_FILE = "SHA256SUMS"
OBJECTS_FILE = "objects.pkl"  # objects passed from Python, in a folder of copies
_OBJECT = "object"
_MOST_BYTES = 10_000_000  # limit for a package that is copied


def is_reference(kind: object) -> TypeGuard[str]:
    """Return whether ``kind`` names user code."""
    return isinstance(kind, str) and ":" in kind


@dataclass(frozen=True)
class CodeFinder:
    """Finds the code that references of one search file name.

    Attributes:
        folder: Folder of the search file; files are named relative to it.
        copies: Folder with copies of the code, which are used instead of the originals, or None.
            The default is the folder in ``TUNEBOX_CODE``, which is set on the head of a cluster.
        objects: Functions and classes passed from Python, by name.
        closed: Folder of an exported model that is not trusted, or None. No code in it runs, nor a
            function of Python's standard library, which could do anything.
    """

    folder: Path = Path()
    copies: Path | None = field(default_factory=lambda: _sent_copies())
    objects: Mapping[str, Any] = field(default_factory=dict)
    closed: Path | None = None

    def find(self, reference: str) -> Any:
        """Return the function or class that ``reference`` names.

        Raises:
            OwnCodeError: There is no such file, module or name, or it cannot be imported.
        """
        place, _, name = reference.rpartition(":")
        if self.copies is not None:
            _check_copies(self.copies)
        if place == _OBJECT:
            return self._find_object(name)
        module = self._module(place)
        if not hasattr(module, name):
            known = [key for key, value in vars(module).items() if _is_own(value, module)]
            near = difflib.get_close_matches(name, known, n=1)
            some = ", ".join(near or known[:_SHOWN]) or "nothing of its own"
            raise OwnCodeError(f"{module.__file__} has no {name!r}; it has {some}")
        return getattr(module, name)

    def file_of(self, place: str) -> Path:
        """Return the path of the file ``place``, which is the text before the colon."""
        if self.copies is not None and (self.copies / Path(place).name).is_file():
            return self.copies / Path(place).name
        return (self.folder / Path(place).expanduser()).absolute()

    def _find_object(self, name: str) -> Any:
        objects = self.objects
        if not objects and self.copies is not None and (self.copies / OBJECTS_FILE).is_file():
            objects = _read_objects(self.copies / OBJECTS_FILE)
        if name not in objects:
            raise OwnCodeError(
                f"{name!r} was handed over by a program; search again from there, with "
                "tunebox.search(..)"
            )
        return objects[name]

    def _module(self, place: str) -> ModuleType:
        if place.endswith(".py"):
            path = self.file_of(place)
            if self.closed is not None and path.resolve().is_relative_to(self.closed.resolve()):
                raise OwnCodeError(f"{path} is code of an exported folder, which does not run")
            return import_file(path)
        if self.closed is not None:
            spec = find_package(place, [], is_copy=False)
            if place.partition(".")[0] in sys.stdlib_module_names or _is_within(spec, self.closed):
                raise OwnCodeError(f"{place} does not run for an exported folder")
        return import_from_package(place, self._folders(place), is_copy=self._has_copy(place))

    def package(self, place: str) -> ModuleSpec:
        """Return the spec of the top package of the module ``place``."""
        return find_package(place, self._folders(place), is_copy=self._has_copy(place))

    def _folders(self, place: str) -> list[Path]:
        if self._has_copy(place):
            assert self.copies is not None
            return [self.copies]
        return [] if self.closed else [self.folder.absolute(), Path.cwd()]

    def _has_copy(self, place: str) -> bool:
        top = place.partition(".")[0]
        return self.copies is not None and has_module(self.copies, top)


def _sent_copies() -> Path | None:
    folder = os.environ.get(CODE_VARIABLE)
    return Path(folder).absolute() if folder else None


def references_in(tree: Any) -> Iterator[str]:
    """Yield the references in the plain data of a search file, in their order."""
    if isinstance(tree, list):
        for item in tree:
            yield from references_in(item)
    if not isinstance(tree, Mapping):
        return
    for key, value in tree.items():
        options = [value]
        if key == "kind" and isinstance(value, Mapping):
            options = value.get("choice", [])
        elif key == "metrics" and isinstance(value, list):  # a metric may be only a reference
            options = value
        if key in ("kind", "metrics"):
            yield from (option for option in options if is_reference(option))
        yield from references_in(value)


def named_objects(tree: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return ``tree`` with functions and classes replaced by references, and these by name."""
    objects: dict[str, Any] = {}

    def replaced(node: Any) -> Any:
        if isinstance(node, Mapping):
            return {key: replaced(value) for key, value in node.items()}
        if isinstance(node, list | tuple):
            return [replaced(item) for item in node]
        if hasattr(node, "item") and hasattr(node, "dtype"):  # a number of NumPy or torch
            return node.item()
        if not callable(node):
            return node
        if not inspect.isroutine(node) and not isinstance(node, type):
            raise OwnCodeError(
                f"got an object of the class {type(node).__name__}; give its function or class, "
                "and its arguments as settings"
            )
        stem = str(node.__name__).strip("<>")
        names = itertools.chain([stem], (f"{stem}_{number}" for number in itertools.count(2)))
        name = next(name for name in names if objects.get(name, node) is node)
        objects[name] = node
        return f"{_OBJECT}:{name}"

    return replaced(tree), objects


def code_files(finder: CodeFinder, references: Iterable[str]) -> dict[str, bytes]:
    """Return the files of the code that ``references`` name, by their path in a folder of copies.

    One more file has their checksums, as ``sha256sum`` writes them.

    Raises:
        OwnCodeError: Two files have the same name, a package is too large, or an object
            passed from Python cannot be pickled.
    """
    contents: dict[str, bytes] = {}
    objects: dict[str, Any] = {}
    for reference in references:
        place, _, name = reference.rpartition(":")
        if place == _OBJECT:
            objects[name] = finder.find(reference)
            continue
        for target, path in _files(finder, place).items():
            content = path.read_bytes()
            if contents.setdefault(target, content) != content:
                raise OwnCodeError(f"two different files are called {target}; rename one of them")
    if objects:
        contents[OBJECTS_FILE] = _pickled(objects)
    if contents:
        sums = [f"{_digest(content)}  {target}\n" for target, content in sorted(contents.items())]
        contents[SUMS_FILE] = "".join(sums).encode()
    return contents


def write_code(contents: Mapping[str, bytes], to: Path) -> None:
    """Write the result of `code_files` into the folder ``to``, which is only made if needed."""
    for target, content in contents.items():
        path = to / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _check_copies(copies: Path) -> None:
    """Raise OwnCodeError if a copy is not what was copied."""
    sums = copies / SUMS_FILE
    if not sums.exists():  # nothing was copied
        return
    with reading(sums, OwnCodeError):
        lines = sums.read_text(encoding="utf-8").splitlines()
    for digest, _, target in (line.partition("  ") for line in lines):
        path = copies / target
        with reading(sums, OwnCodeError):  # what it names cannot even be a path
            is_inside = path.resolve().is_relative_to(copies.resolve())
            is_same = is_inside and path.is_file() and _digest(path.read_bytes()) == digest
        if not is_inside:
            raise OwnCodeError(f"{sums} names {target!r}, which is not in its folder")
        if not is_same:
            raise OwnCodeError(
                f"{path} is not the code that was recorded ({SUMS_FILE} has its checksum); put the "
                "file back"
            )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _files(finder: CodeFinder, place: str) -> dict[str, Path]:
    """Return the files of a module or of its whole package, by their path below a folder."""
    if place.endswith(".py"):
        path = finder.file_of(place)
        if not path.is_file():
            raise OwnCodeError(f"{path}: no such file; the path is relative to the search file")
        return {path.name: path}
    spec = finder.package(place)
    if is_installed(spec):
        return {}
    if spec.submodule_search_locations is None:
        assert spec.origin is not None
        return {Path(spec.origin).name: Path(spec.origin)}
    root = Path(next(iter(spec.submodule_search_locations)))
    files = {path.relative_to(root.parent).as_posix(): path for path in root.rglob("*.py")}
    size = sum(path.stat().st_size for path in files.values())
    if size > _MOST_BYTES:
        raise OwnCodeError(
            f"{root} has {size / 1e6:.0f} MB of code, too much to copy: install it on every node, "
            "or name a smaller package"
        )
    return files


def _is_own(value: Any, module: ModuleType) -> bool:
    is_made_here = getattr(value, "__module__", None) == module.__name__
    return is_made_here and callable(value) and not value.__name__.startswith("_")


def _is_within(spec: ModuleSpec, folder: Path) -> bool:
    places = [spec.origin, *(spec.submodule_search_locations or ())]
    return any(Path(place).resolve().is_relative_to(folder.resolve()) for place in places if place)


def _pickled(objects: Mapping[str, Any]) -> bytes:
    """Return ``objects`` pickled with their code, to be read where their modules are missing."""
    import cloudpickle

    modules = {sys.modules[value.__module__] for value in objects.values()}
    local = [m for m in modules if m.__spec__ is not None and not is_installed(m.__spec__)]
    for module in local:
        cloudpickle.register_pickle_by_value(module)
    try:
        for name, value in objects.items():
            try:
                cloudpickle.dumps(value)
            except Exception as error:
                reason = f"{type(error).__name__}: {first_line(error)}"
                raise OwnCodeError(
                    f"{name!r} cannot be sent to a worker ({reason}); it must not refer to open "
                    "files, locks or clients"
                ) from error
        content: bytes = cloudpickle.dumps(dict(objects))
    finally:
        for module in local:
            cloudpickle.unregister_pickle_by_value(module)
    return content


def _read_objects(path: Path) -> dict[str, Any]:
    import cloudpickle

    with reading(path, OwnCodeError), path.open("rb") as file:
        return dict(cloudpickle.load(file))
