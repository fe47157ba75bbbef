"""A proxy that takes connections and says nothing, or that is not there at all."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_LOCAL = (b"127.0.0.1", b"localhost", b"[::1]")
_NAMES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")


@dataclass
class SilentProxy:
    """A proxy on ``port``; ``asked`` are the first lines that it was sent."""

    port: int
    asked: list[bytes] = field(default_factory=list)

    @property
    def variables(self) -> dict[str, str]:
        """Variables that make it the proxy for everything."""
        uri = f"http://127.0.0.1:{self.port}"
        return {n: uri for name in _NAMES for n in (name, name.upper())}

    def asked_for_this_machine(self) -> list[bytes]:
        """Return what was asked of it that no proxy should be asked."""
        return [line for line in self.asked if any(name in line for name in _LOCAL)]


@contextmanager
def silent_proxy(*, swallows: bool) -> Iterator[SilentProxy]:
    """Give a proxy that swallows what it gets, or one whose port refuses connections."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))  # and refuses as long as it does not listen
        proxy = SilentProxy(listening.getsockname()[1])
        if swallows:
            listening.listen(100)
            threading.Thread(target=_swallow, args=(listening, proxy), daemon=True).start()
        yield proxy


def _swallow(listening: socket.socket, proxy: SilentProxy) -> None:
    held = []  # open, so that nobody hears of an end
    while True:
        try:
            connection, _ = listening.accept()
            held.append(connection)
            connection.settimeout(2)
            proxy.asked.append(connection.recv(1000).partition(b"\r\n")[0])
        except TimeoutError:
            continue
        except OSError:  # it was closed
            return
