"""URIs of SQLite files, for paths with any characters.

In such a URI a ``?`` ends the path, and newer versions of SQLAlchemy decode ``%2F``. A path with
one of them becomes a URI of SQLite's own, whose spelling SQLAlchemy knows.
"""

import os
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

_PLAIN = "sqlite:///"
# MLflow would make the folders of a plain URI's path, as it is spelled
_SPELLED = "sqlite+pysqlite:///"


def sqlite_uri(path: Path) -> str:
    """Return the URI of the SQLite file ``path``, for MLflow and SQLAlchemy."""
    text = str(path.absolute())
    if text.isprintable() and not set(text) & set("%?"):
        return f"{_PLAIN}{text}"
    from sqlalchemy.engine import URL

    driver = _SPELLED.partition(":")[0]
    database = f"file:{quote(os.fsencode(text))}"
    return str(URL.create(driver, database=database, query={"uri": "true"}))


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite URI, None for other stores."""
    if not uri.startswith((_PLAIN, _SPELLED)):
        return None
    if not set(uri) & set("%?"):
        return Path(uri.partition(":///")[2])
    from sqlalchemy.engine import make_url

    url = make_url(uri)
    name = url.database or ""
    if url.query.get("uri") == "true" and name.startswith("file:"):
        encoded = name.removeprefix("file:").partition("?")[0]
        return Path(os.fsdecode(unquote_to_bytes(encoded)))
    return Path(name)


def sqlite_query(uri: str) -> str:
    """Return the part of the query without which an SQLite URI names another file."""
    is_spelled = uri.startswith(_SPELLED) and uri.endswith("?uri=true")
    return "?uri=true" if is_spelled else ""
