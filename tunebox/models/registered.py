"""Names of the networks that a library has, read without an import of it.

Libraries of networks take seconds to import; a search file is checked without them.
"""

from __future__ import annotations

import difflib
import importlib.util
import re
from functools import cache
from pathlib import Path

# how timm and torchvision register the function that builds a network under its name
_REGISTERED = re.compile(r"^@register_model\b.*\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)


def is_installed(library: str) -> bool:
    """Return whether ``library`` can be imported."""
    return importlib.util.find_spec(library) is not None


def check_name(library: str, name: str) -> None:
    """Return if ``library`` has a network of that name.

    Raises:
        ValueError: It has none; those with a similar name are named.
    """
    known = registered_names(library)
    if name in known:
        return
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    guess = f"; did you mean {', '.join(near)}?" if near else ""
    raise ValueError(f"{library} has no network {name!r}{guess}")


@cache
def registered_names(library: str) -> frozenset[str]:
    """Return the names of the networks in the modules of ``library.models``."""
    spec = importlib.util.find_spec(library)
    assert spec is not None
    assert spec.origin is not None
    files = (Path(spec.origin).parent / "models").glob("*.py")
    sources = (file.read_text(encoding="utf-8") for file in files)
    return frozenset(name for source in sources for name in _REGISTERED.findall(source))
