"""A base class for objects that Ray Tune must not pickle."""

from typing import Any


class NotPickled:
    """Pickles as nothing: Ray writes such objects of the driver into files that nobody reads."""

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing."""
        return {}
