"""An HTTP server on loopback that refuses everything and knows what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "CONNECT")


@dataclass
class RecordingServer:
    """What was asked of a server, as ``METHOD target``; it says ``code`` with ``body``."""

    port: int
    code: int = 404
    body: bytes = b"<html>no</html>"
    asked: list[str] = field(default_factory=list)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def as_proxy(self) -> dict[str, str]:
        """Variables that make it the proxy for everything."""
        names = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")
        return {n: self.uri for name in names for n in (name, name.upper())}


@contextmanager
def recording_server(code: int = 404) -> Iterator[RecordingServer]:
    """Run a server in a thread."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            made.asked.append(f"{self.command} {self.path}")
            self.send_response(made.code)
            self.send_header("Content-Length", str(len(made.body)))
            self.end_headers()
            self.wfile.write(made.body)

        def log_message(self, *_: Any) -> None:
            pass

    for method in _METHODS:
        setattr(Handler, f"do_{method}", Handler.answer)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = RecordingServer(server.server_address[1], code)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
