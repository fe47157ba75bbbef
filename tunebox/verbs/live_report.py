"""``tunebox report --live``: the report of searches that still run, from a small local server."""

import gzip
import hashlib
import threading
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tunebox.errors import OptionError, TuneboxError
from tunebox.records.search_folder import SearchFolder
from tunebox.verbs.report import find_searches, read_studies

_HOST = "127.0.0.1"
_LOCAL_NAMES = (_HOST, "localhost")


def serve_report(
    names: str | Sequence[str],
    *,
    out: str | Path | None = None,
    port: int = 0,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve the report of one or more searches on 127.0.0.1 until the process is interrupted.

    The page asks the server every few seconds for newer data.

    Args:
        names: Name of a search, or names.
        out: Folder of all searches.
        port: Port of the server; 0 for one that is free.
        on_ready: Called with the address of the page once it can be opened.

    Raises:
        RecordsError: There is no such search, or a table is damaged.
        OptionError: The port is in use or not allowed.
    """
    live = LiveReport(find_searches(names, out), out)
    live.data()  # a mistake is found here, and not by the browser
    try:
        server = ThreadingHTTPServer((_HOST, port), _handler_of(live))
    except (OSError, OverflowError) as error:
        raise OptionError("port", f" {port}: {error}; leave it out for a free one") from error
    server.daemon_threads = True
    with server:
        if on_ready is not None:
            on_ready(f"http://{_HOST}:{server.server_port}/")
        server.serve_forever()


class LiveReport:
    """The report as it is now; made again when a table has changed."""

    def __init__(self, folders: Sequence[SearchFolder], out: str | Path | None) -> None:
        """Remember the searches; their tables are read on demand."""
        self._folders = folders
        self._out = out
        self._lock = threading.Lock()  # the browser may ask twice at the same time
        self._stamp: list[tuple[int, int]] | None = None
        self._data = b""
        self._packed = ("", b"")  # the ETag of the data, and the data packed

    def page(self) -> bytes:
        """Return the page, with the data of now."""
        from tunebox.reports.report.page import page_of

        return page_of([folder.name for folder in self._folders], self._fresh().decode()).encode()

    def data(self) -> tuple[str, bytes]:
        """Return the data of the page, packed by gzip, and their ETag."""
        self._fresh()
        return self._packed

    def _fresh(self) -> bytes:
        from tunebox.reports.report.page import report_data

        with self._lock:
            stamp = self._stamp_now()
            if stamp != self._stamp:
                studies = read_studies(self._folders, self._out)
                self._data = report_data(studies, is_live=True).encode()
                tag = f'"{hashlib.sha256(self._data).hexdigest()[:16]}"'
                self._packed = tag, gzip.compress(self._data, 5, mtime=0)
                self._stamp = stamp
            return self._data

    def _stamp_now(self) -> list[tuple[int, int]]:
        stamp = []
        for folder in self._folders:
            for path in (folder.trials, folder.history, folder.confirmed):
                try:
                    status = path.stat()
                except OSError:
                    continue
                stamp.append((status.st_mtime_ns, status.st_size))
        return stamp


def _handler_of(live: LiveReport) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers with the page and with its data."""

        def do_GET(self) -> None:  # named by the base class
            host = self.headers.get("Host", "").rpartition(":")[0]
            if host not in _LOCAL_NAMES:  # a page elsewhere whose name was pointed to this machine
                self._answer(HTTPStatus.FORBIDDEN, b"", "text/plain")
                return
            try:
                self._answer_path()
            except (TuneboxError, OSError) as error:
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, str(error).encode(), "text/plain")

        def _answer_path(self) -> None:
            if self.path == "/":
                self._answer(HTTPStatus.OK, live.page(), "text/html")
            elif self.path == "/data":
                tag, data = live.data()
                if self.headers.get("If-None-Match") == tag:
                    self._answer(HTTPStatus.NOT_MODIFIED, b"", "application/json", {"ETag": tag})
                else:
                    more = {"ETag": tag, "Content-Encoding": "gzip"}
                    self._answer(HTTPStatus.OK, data, "application/json", more)
            else:
                self._answer(HTTPStatus.NOT_FOUND, b"", "text/plain")

        def _answer(
            self,
            status: HTTPStatus,
            content: bytes,
            kind: str,
            headers: dict[str, str] | None = None,
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-cache")
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the terminal has the address."""

    return Handler
