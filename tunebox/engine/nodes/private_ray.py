"""The folder and the token of a Ray that this process starts, which no other user can use.

By its own defaults Ray writes a token that everybody can read into the home folder, and its files
into a folder that everybody can write to, under a path that may be too long for its sockets.
"""

import fcntl
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

from tunebox.errors import ClusterError, describe_os_error

_PREFIX = "tb-"  # short: the folder must leave room for the names of Ray's sockets
_LOCK = "tunebox.lock"  # in the folder
_SOCKET_BYTES = 103 if sys.platform == "darwin" else 107  # the longest path of a socket
_SOCKET = "/ray/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"  # the longest
_MAX_BYTES = _SOCKET_BYTES - len(f"/{_PREFIX}12345678{_SOCKET}")  # of a place for it
_LOGS = {"RAY_ROTATION_MAX_BYTES": "10000000", "RAY_ROTATION_BACKUP_COUNT": "1"}  # of each log


@contextmanager
def private_ray() -> Iterator[None]:
    """Give a Ray that starts and ends within the block a folder and a token of its own.

    The folder can be entered by this user alone, and is removed at the end. It is made in
    ``RAY_TMPDIR``, else in the system's temporary folder (``TMPDIR``), else in ``/tmp`` if that
    path is too long. What a killed process left there is removed, too. The token is in the
    environment of this process and of those that it starts, and in no file. Logs are kept short
    unless Ray's own variables say otherwise.

    Raises:
        ClusterError: The folder cannot be made, or its path is too long.
    """
    with _private_folder(_place()) as folder:
        variables = {
            "RAY_TMPDIR": str(folder),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            **{name: os.environ.get(name, value) for name, value in _LOGS.items()},
        }
        with _environment(variables):
            yield


def _place() -> Path:
    """Return the folder in which the private one is made."""
    given = os.environ.get("RAY_TMPDIR")
    if given:
        place = Path(given).absolute()
        if len(os.fsencode(place)) > _MAX_BYTES:
            raise ClusterError(
                f"RAY_TMPDIR is {given!r}, a path too long for Ray's sockets; set it to a folder "
                f"whose path has at most {_MAX_BYTES} bytes"
            )
        return place
    place = Path(tempfile.gettempdir()).absolute()
    return place if len(os.fsencode(place)) <= _MAX_BYTES else Path("/tmp")


@contextmanager
def _private_folder(place: Path) -> Iterator[Path]:
    """Yield a new folder in ``place``, locked by this process and removed at the end."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        _remove_left_behind(place)
        new = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=place))  # with rights 0700
        lock = (new / _LOCK).open("w")
        with suppress(OSError):  # where there are no locks, nothing is removed later
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder = new.rename(place / new.name.removeprefix("."))  # from now on others find it
    except OSError as error:
        raise ClusterError(
            f"Ray cannot have its files in {place} ({describe_os_error(error)}); set RAY_TMPDIR "
            "to a folder that can be written"
        ) from error
    with lock:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_left_behind(place: Path) -> None:
    """Remove the folders of processes of this user that were killed: nobody locks them."""
    for path in place.glob(f"{_PREFIX}*/{_LOCK}"):
        with suppress(OSError):  # it is in use, or removed in this moment
            if path.parent.lstat().st_uid == os.getuid():
                with path.open("r+") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path.parent, ignore_errors=True)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables for this process, which Ray reads again, and for those that it starts."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    _read_again()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        _read_again()


def _read_again() -> None:
    """Let Ray read its settings and its token from the environment, as it does at its import."""
    # In this order: a thread that ends would look for a token while its mode asks for one.
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()
