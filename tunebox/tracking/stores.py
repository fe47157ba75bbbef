"""Where MLflow's store is, the experiment in it, and the pages that show it."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote

from tunebox.errors import RecordsError
from tunebox.text import shell_command
from tunebox.tracking.sqlite_uri import sqlite_file, sqlite_query, sqlite_uri

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT = "tunebox"
PARETO_TAG = "tunebox.pareto"
REPEATS_TAG = "tunebox.repeats"  # the search, or search/trial, that a run repeats
STATE_TAG = "tunebox.state"
CHECKPOINT_TAG = "tunebox.checkpoint"
VIEW = "tunebox-front"  # the saved view of MLflow's page
front_filter = f'tags."{PARETO_TAG}" = "true"'

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_IN_OUT = "sqlite:///{out}/"  # stands for the folder of all searches
_SERVERS = ("http", "https", "databricks")
_USER_IN_URI = re.compile(r"(://)[^/\s]*@")
_SECRET_NAME = re.compile("pass|pwd|token|secret|key|credential", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9]*)(?:\+[a-z0-9]*)?:", re.IGNORECASE)
_HOST = re.compile(r"[^:@]*(:\d*)?|\[[^]]*\](:\d*)?")
_SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")

# MLflow's client would try for minutes before it says that a server is away. We try again
# ourselves, with growing pauses, and what MLflow lacks is computed anew each time.
_HTTP_SETTINGS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}


def resolve_tracking_uri(option: str | None, out: Path) -> str:
    """Return the URI of MLflow's store.

    Args:
        option: What the user gave; wins over the variable ``MLFLOW_TRACKING_URI``, which wins
            over an SQLite file in ``out``.
        out: The folder that holds all searches.

    Raises:
        RecordsError: The URI is none that MLflow can keep runs in, or MLflow cannot name ``out``.
    """
    uri = option or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        _check_is_utf8(out)
        return sqlite_uri(out / "mlflow.db")
    if _scheme(uri) in _DATABASES:
        _check_is_utf8(out)
    elif not is_store(uri):
        raise RecordsError(
            f"MLflow cannot keep runs in {public_uri(uri)!r}; give sqlite:///FILE, another "
            f"database or http(s)://SERVER"
        )
    return uri


def _check_is_utf8(out: Path) -> None:
    """Raise RecordsError for a folder whose artifacts MLflow would put into another one."""
    folder = os.fsencode(out.absolute())
    try:
        folder.decode()
    except UnicodeDecodeError as error:
        shown = folder.decode(errors="backslashreplace")
        raise RecordsError(
            f"{shown} is not in UTF-8, so that MLflow cannot keep files in it; choose another "
            "folder with --out"
        ) from error


def is_store(uri: str) -> bool:
    """Whether MLflow can keep runs at ``uri``."""
    return _scheme(uri) in (*_DATABASES, *_SERVERS)


def is_server(uri: str) -> bool:
    """Whether ``uri`` is of a server, which may outlive a call, and not of a database."""
    return _scheme(uri) in _SERVERS


def public_uri(uri: str) -> str:
    """Return ``uri`` without user, password and query, fit to be printed and kept."""
    scheme, _, rest = _parts(uri)
    return scheme + rest + sqlite_query(uri)


def _parts(uri: str) -> tuple[str, str, str]:
    """Return the scheme, the user with the password, and the rest without query and fragment."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        separator, scheme, rest = "", "", uri
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    if "@" in host:
        end = host.rindex("@") + 1
    elif _HOST.fullmatch(host):  # an @ behind it is part of a path
        end = 0
    else:  # a password with a / or ? in it
        end = rest.rfind("@") + 1
    is_file = rest.startswith("/")
    return scheme + separator, rest[:end], re.split("[?]" if is_file else "[?#]", rest[end:])[0]


def portable_uri(uri: str, out: Path) -> str:
    """Return ``uri`` as it is noted in a file: a database in the folder ``out`` moves with it."""
    file = sqlite_file(uri)
    if file is None or not file.is_relative_to(out.absolute()):
        return uri
    return f"{_IN_OUT}{file.relative_to(out.absolute())}"


def local_uri(noted: str, out: Path) -> str:
    """Return the URI that `portable_uri` noted, wherever ``out`` is by now."""
    if not noted.startswith(_IN_OUT):
        return noted
    return sqlite_uri(out / noted.removeprefix(_IN_OUT))


def without_credentials(text: str, uri: str) -> str:
    """Return ``text`` without what of ``uri``, or of MLflow's variables, opens the store."""
    text = text.replace(uri, public_uri(uri))
    text = _USER_IN_URI.sub(r"\1", text)
    password = _parts(uri)[1].removesuffix("@").partition(":")[2]
    query = parse_qsl(uri.partition("?")[2])
    secrets = [password, unquote(password), *map(os.environ.get, _SECRET_VARIABLES)]
    secrets += [value for name, value in query if _SECRET_NAME.search(name)]
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
    return text


@contextmanager
def responsive_client() -> Iterator[None]:
    """Let calls of MLflow's client fail soon; what the user has set stays as it is."""
    added = [name for name in _HTTP_SETTINGS if name not in os.environ]
    os.environ.update({name: _HTTP_SETTINGS[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def get_or_create_experiment(client: "MlflowClient", uri: str, out: Path) -> str:
    """Return the id of the experiment of all searches; made when it is not there.

    In a database its artifacts go to ``<out>/mlartifacts``; a server has its own place.

    Raises:
        RecordsError: The experiment was deleted.
    """
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        try:
            return str(client.create_experiment(EXPERIMENT, _artifact_location(uri, out)))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(EXPERIMENT)  # another search was faster
            assert experiment is not None
    if experiment.lifecycle_stage == "deleted":
        restore = shell_command(
            "mlflow", "experiments", "restore", "--experiment-id", str(experiment.experiment_id)
        )
        raise RecordsError(
            f"the MLflow experiment {EXPERIMENT!r} in {public_uri(uri)} was deleted; bring it "
            f"back with: {restore}"
        )
    return str(experiment.experiment_id)


def ui_command(out: Path, host: str, port: int) -> list[str]:
    """Return the command line of MLflow's server, without its store.

    Its variable ``MLFLOW_BACKEND_STORE_URI`` names that: a password in a command line would be
    read by everybody on the machine.
    """
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--default-artifact-root", _artifacts(out)),
        *("--host", host, "--port", str(port), "--workers", "1"),
    ]


def ui_address(host: str, port: int, experiment_id: str) -> str:
    """Return the address of MLflow's page that shows the fronts and nothing else.

    Args:
        host: Host of the server.
        port: Port of the server.
        experiment_id: Id of the experiment that holds all searches, and the saved view.
    """
    page = f"http://{host}:{port}/#/experiments/{experiment_id}/runs"
    return f"{page}?workflowType=machine_learning&viewStateShareKey={VIEW}"


def _artifact_location(uri: str, out: Path) -> str | None:
    # Without a place given, a database's artifacts would go to ./mlruns of whoever runs first.
    return _artifacts(out) if _scheme(uri) in _DATABASES else None


def _artifacts(out: Path) -> str:
    return (out.absolute() / "mlartifacts").as_uri()


def _scheme(uri: str) -> str:
    found = _SCHEME.match(uri)  # mysql+pymysql is mysql by one driver
    return found[1].lower() if found else uri  # databricks alone is a URI to MLflow
