"""Several processes that want the same data set at the same time, and a server that has it."""

from __future__ import annotations

import gzip
import hashlib
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tunebox.data.files import IDX_FILES

# what a worker does, with the server in place of torchvision's mirrors
WORKER = """
import sys
from tunebox.data import download
from tunebox.data.settings import prepare_data
from tunebox.data.sets.torchvision import TorchvisionSettings

url, root, *files = sys.argv[1:]
fetch = download._download_with_torchvision

def fetch_from_server(settings, root):
    from torchvision.datasets import MNIST
    MNIST.mirrors = [url]
    MNIST.resources = [tuple(file.split(":")) for file in files]
    fetch(settings, root)

download._download_with_torchvision = fetch_from_server
print(flush=True)
input()
prepare_data(TorchvisionSettings(kind="mnist", root=root, download=True))
"""


def mnist() -> dict[str, bytes]:
    """Four images and their labels, twice, as the server keeps them."""
    images = struct.pack(">4i", 2051, 4, 28, 28) + bytes(4 * 28 * 28)
    labels = struct.pack(">2i", 2049, 4) + bytes(4)
    return {
        f"{name}.gz": gzip.compress(content)
        for part in IDX_FILES.values()
        for name, content in zip(part, (images, labels), strict=True)
    }


class Server(ThreadingHTTPServer):
    """Knows who asked for what, and takes its time to answer."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.asked: dict[str, set[str]] = {}


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        _, worker, name = self.path.split("/")
        self.server.asked.setdefault(worker, set()).add(name)
        time.sleep(0.3)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.files[name])))
        self.end_headers()
        self.wfile.write(self.server.files[name])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(mnist()) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_one_of_the_workers_that_start_together_fetches_the_files(
    server: Server, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{server.server_port}"
    sums = [f"{n}:{hashlib.md5(content).hexdigest()}" for n, content in server.files.items()]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, f"{url}/{number}/", str(tmp_path), *sums],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # torchvision draws bars
        )
        for number in range(3)
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()  # it is about to look for the files
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"\n")
        worker.stdin.flush()
    for worker in workers:
        worker.communicate(timeout=100)
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    [asked] = server.asked.values()  # by one of them
    assert asked == set(server.files)
