"""Why MLflow's store does not take something: its cause and the way out, in one line."""

import re
import socket
import sqlite3
import ssl
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import urlsplit

from tunebox.errors import TuneboxError, describe_os_error, first_line
from tunebox.tracking.sqlite_uri import sqlite_file
from tunebox.tracking.store_file import check_opens
from tunebox.tracking.stores import is_server, responsive_client, without_credentials

# MLflow's words for an answer that is none of MLflow
_ANSWER = re.compile(r"failed with error code (\d{3}) |too many (\d{3}) error responses")
_NO_JSON = "not in a valid JSON format"
_WAIT = re.compile(r"\((?:read|connect) timeout=([\d.]+)\)")
_SQLITE_WAYS_OUT = {
    "SQLITE_FULL": "make room on its disk",
    "SQLITE_IOERR": "look at its disk, which may be full",
    "SQLITE_READONLY": "check its rights",
    "SQLITE_CANTOPEN": "check its rights, and those of its folder",
    "SQLITE_NOTADB": "move it away, and a new one is made",
    "SQLITE_CORRUPT": "move it away, and a new one is made",
}


def store_trouble(uri: str) -> str | None:
    """Return why MLflow's store at ``uri`` does not answer, without credentials; None: it does.

    An SQLite file that is not there yet is made by the first search.
    """
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        return None
    from mlflow.tracking import MlflowClient

    with responsive_client():
        try:
            if file is not None:
                check_opens(file)
            MlflowClient(tracking_uri=uri).search_experiments(max_results=1)
        except Exception as error:  # MLflow, HTTP and databases have classes of their own
            return public_reason(error, uri)
    return None


def public_reason(error: Exception, uri: str) -> str:
    """Return why a call to the store at ``uri`` failed, in one line without credentials.

    Where the cause is known, the line says what to do about it.
    """
    if isinstance(error, TuneboxError):
        reason = first_line(error)
    elif is_server(uri):
        reason = _reason_of_server(error, uri)
    else:
        reason = _reason_of_database(error)
    return without_credentials(reason, uri)


def _reason_of_server(error: Exception, uri: str) -> str:
    line, causes = first_line(error), list(_causes(error))
    answer, last = _ANSWER.search(line), causes[-1]
    json = getattr(error, "json", None)  # of an answer with a code for failure
    if answer is not None:
        return _describe_answer(int(answer[1] or answer[2]), uri)
    if _NO_JSON in line or (json is not None and "error_code" not in json):
        return "what answers there is not MLflow: check the address"
    if any(type(cause).__name__ == "ProxyError" for cause in causes):
        return f"the proxy {_proxy(uri)} fails ({_words(last)}): {_way_around_proxy(uri)}"
    if isinstance(last, ConnectionRefusedError):
        return f"nothing listens there ({_words(last)}): start the server"
    if isinstance(last, socket.gaierror):
        return f"its host is not known ({_words(last)}): check the address"
    if isinstance(last, ssl.SSLError):
        return f"no secure connection ({first_line(last)}): check http or https, and certificates"
    if isinstance(last, TimeoutError):
        seconds = _WAIT.search(line)
        return "no answer" + (f" within {seconds[1]} s" if seconds else " in time")
    return _words(last) if isinstance(last, OSError) else line


def _describe_answer(code: int, uri: str) -> str:
    """Say what an answer of HTTP means that does not have MLflow's form."""
    known = {status.value: f"{code} {status.phrase}" for status in HTTPStatus}
    answer, proxy = known.get(code, str(code)), _proxy(uri)
    if proxy is not None and uri.startswith("http:"):  # the answers of https pass through it
        return f"the proxy {proxy}, or what is behind it, says {answer}: {_way_around_proxy(uri)}"
    if code == HTTPStatus.NOT_FOUND:
        return f"{answer}: MLflow is not at this address; check its path"
    if code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return f"{answer}: check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    return f"{answer}: look at the server, and at what stands before it"


def _reason_of_database(error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"its driver is not installed ({first_line(error)})"
    for cause in _causes(error):
        # what the driver raised, without SQLAlchemy's words
        said = cause if isinstance(cause, sqlite3.Error) else getattr(cause, "orig", None)
        if isinstance(said, Exception):
            name = getattr(said, "sqlite_errorname", "")
            ways = [way for sign, way in _SQLITE_WAYS_OUT.items() if name.startswith(sign)]
            return ": ".join([first_line(said), *ways])
    return _words(error) if isinstance(error, OSError) else first_line(error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error``, what led to it, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _words(error: BaseException) -> str:
    words = describe_os_error(error) if isinstance(error, OSError) else first_line(error)
    return words.splitlines()[0]


def _proxy(uri: str) -> str | None:
    """Return the proxy through which ``uri`` is called, None if it is called directly."""
    from requests.utils import get_environ_proxies, select_proxy

    proxy = select_proxy(uri, get_environ_proxies(uri))
    return None if proxy is None else str(proxy)


def _way_around_proxy(uri: str) -> str:
    return f"if {urlsplit(uri).hostname} needs none, add it to no_proxy"
