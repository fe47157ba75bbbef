"""Keys and values in the form and length that MLflow takes."""

import hashlib
import json
import re

from tunebox.spec.space import Scalar

# MLflow 3 takes 100 parameters, 100 tags and 1000 of everything together in one call.
MAX_METRICS, MAX_PARAMS, MAX_TAGS = 800, 100, 100
# And this many characters.
MAX_KEY, MAX_PARAM, MAX_TAG = 250, 6000, 5000

_HASH_LENGTH = 8
_NOT_IN_KEYS = re.compile(r"[^/\w.\- :]")


def key(name: str) -> str:
    """Return ``name`` as a key of MLflow.

    A character that a key cannot have becomes ``_``, an empty part between slashes goes, and a
    long name is shortened; then a hash of the name at the end keeps unlike names unlike.
    """
    parts = _NOT_IN_KEYS.sub("_", name).split("/")
    allowed = "/".join(part for part in parts if part not in ("", ".", ".."))
    if allowed == name and len(name) <= MAX_KEY:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{allowed[: MAX_KEY - _HASH_LENGTH - 1]}-{digest}"


def milliseconds(seconds: float) -> int:
    """Return a time in the unit of MLflow."""
    return round(seconds * 1000)


def param(value: Scalar) -> str:
    """Return a setting as MLflow keeps it: text as it is, else as in a search file."""
    return cut(value if isinstance(value, str) else json.dumps(value), MAX_PARAM)


def tag(value: str) -> str:
    """Return ``value`` cut to what a tag can hold."""
    return cut(value, MAX_TAG)


def cut(text: str, length: int) -> str:
    """Return ``text`` in at most ``length`` characters; when it is cut, its end says so."""
    if len(text) <= length:
        return text
    note = f"... (cut: {len(text)} characters)"
    return text[: length - len(note)] + note
