"""A proxy before a server that does to each request what it is told to."""

import http.client
import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Fault = Literal["error", "lost answer", "late answer", "late request"]
LATE = 2.5  # seconds


class FaultyProxy:
    """Passes requests on to ``port``; a share of them meets a fault, drawn from ``seed``."""

    def __init__(self, port: int, seed: int = 0) -> None:
        self.target = port
        self.faults: tuple[Fault, ...] = ()
        self.share = 0.0  # of the requests that meet one of the faults
        self.delay = 0.0  # seconds before each answer
        self.counts: Counter[str] = Counter()
        self.num_carried_out_late = 0
        self.authorizations: set[str | None] = set()
        self._generator = random.Random(seed)
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def draw(self) -> Fault | None:
        """Return what happens to the next request."""
        with self._lock:
            is_hit = bool(self.faults) and self._generator.random() < self.share
            fault = self._generator.choice(self.faults) if is_hit else None
            self.counts[fault or "passed"] += 1
            return fault


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultyProxy
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _pass_on(self) -> None:
        self.proxy.authorizations.add(self.headers.get("Authorization"))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(self.proxy.delay)
        fault = self.proxy.draw()
        if fault == "error":
            self._answer(500, [], b"out of order")
            return
        if fault == "late request":  # as if it waited in the server: nobody waits for its answer
            time.sleep(LATE)
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.target, timeout=30)
        try:
            headers = {name: value for name, value in self.headers.items() if name != "Host"}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except OSError:
            fault = "lost answer"
        finally:
            connection.close()
        if fault == "late request":
            self.proxy.num_carried_out_late += 1
        if fault == "lost answer":
            self.close_connection = True  # the server did the work, and nobody hears of it
            return
        if fault == "late answer":
            time.sleep(LATE)
        kept = [(k, v) for k, v in answer.getheaders() if k.lower() == "content-type"]
        self._answer(answer.status, kept, content)

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(content)))):
            self.send_header(name, value)
        try:
            self.end_headers()
            self.wfile.write(content)
        except OSError:  # the client did not wait
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on
