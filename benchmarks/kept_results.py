"""Results of a long benchmark, kept as JSON lines: what is there is not computed again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Result = dict[str, Any]  # plain data


class KeptResults:
    """Results by name, in a file that grows by a line for each of them.

    Args:
        path: The file; its folder is made.
        setup: What the results depend on, as plain data; it is the first line of the file.

    Raises:
        SystemExit: The file has results of another setup, or is damaged.
    """

    def __init__(self, path: Path, setup: Mapping[str, Any]) -> None:
        self._path = path
        self._results: dict[str, Result] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            self._append(dict(setup))
            return
        written = self._read()
        if written != _as_read(dict(setup)):
            raise SystemExit(f"{path} has results of {written}; give another file, or remove it")

    def get(self, name: str, compute: Callable[[], Result]) -> Result:
        """Return the result ``name``, which is computed and written if it is absent.

        A number that is not finite is kept as None.
        """
        if name not in self._results:
            result = _as_read(compute())
            self._append({"name": name, **result})
            self._results[name] = result
            print(f"{name}: {result}", flush=True)
        return self._results[name]

    def _read(self) -> Result:
        setup: Result = {}
        text = self._path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]  # without a line that was cut off by a kill
        if whole != text:
            self._path.write_text(whole, encoding="utf-8")
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
            setup = lines.pop(0) if lines else {}
            self._results = {line.pop("name"): line for line in lines}
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise SystemExit(f"{self._path} is damaged ({error}); remove it") from error
        return setup

    def _append(self, result: Result) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")


def _as_read(result: Result) -> Result:
    """Return ``result`` as it comes back from the file."""
    read: Result = json.loads(json.dumps(_finite(result)))
    return read


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
