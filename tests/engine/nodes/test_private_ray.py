"""A Ray that a search starts: nobody else can use it, and nothing of it is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recording_server import recording_server
from tunebox.engine.nodes import private_ray as module
from tunebox.engine.nodes.cluster import connect
from tunebox.engine.nodes.private_ray import private_ray
from tunebox.errors import ClusterError


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that the user named for Ray's files."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # the names of sockets have room for little more
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder)


def private_folder() -> Path:
    return Path(os.environ["RAY_TMPDIR"])


REAL_RAY = """
import json, os, subprocess, sys
from pathlib import Path
import ray
from tunebox.engine.nodes.cluster import connect

CLIENT = "import sys; from ray._raylet import GcsClient; GcsClient(sys.argv[1]).get_all_node_info()"

def call(address, **variables):
    others = {name: value for name, value in os.environ.items() if "RAY_AUTH" not in name}
    command = [sys.executable, "-c", CLIENT, address]
    done = subprocess.run(
        command, env={**others, **variables}, capture_output=True, text=True, timeout=60
    )
    return done.stderr if done.returncode else "answered"

def holding(token, pattern, root):
    found = []
    for path in root.glob(pattern):
        try:
            found += [str(path)] if path.is_file() and token in path.read_bytes() else []
        except OSError:  # a process that has ended meanwhile, a socket
            pass
    return found

def own_variables():
    words = ("AUTH", "ROTATION", "TMPDIR")
    return {name: os.environ[name] for name in os.environ if any(word in name for word in words)}

before = own_variables()
with connect("local"):
    ray.get(ray.remote(lambda: print("a line in a log")).remote())
    folder = Path(os.environ["RAY_TMPDIR"])
    token = os.environ["RAY_AUTH_TOKEN"]
    address = ray.get_runtime_context().gcs_address
    found = {
        "folder": str(folder),
        "rights": oct(folder.stat().st_mode & 0o777),
        "logs": len(list(folder.glob("ray/session_*/logs/*.out"))),
        "files": holding(token.encode(), "**/*", folder),
        "command_lines": holding(token.encode(), "[0-9]*/cmdline", Path("/proc")),
        "environments": len(holding(token.encode(), "[0-9]*/environ", Path("/proc"))),
        "right": call(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token),
        "wrong": call(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token[::-1]),
        "none": call(address),
    }
found["restored"] = own_variables() == before
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_nobody_else_can_use_it(place: Path) -> None:
    (place / "file").touch()
    home = str(place / "file" / "home")  # nobody can make that
    others = {name: value for name, value in os.environ.items() if "RAY_AUTH" not in name}
    with recording_server() as proxy:
        done = subprocess.run(
            [sys.executable, "-c", REAL_RAY],
            env={**others, "HOME": home, "RAY_grpc_enable_http_proxy": "1", **proxy.as_proxy},
            capture_output=True,
            text=True,
            check=False,
            timeout=160,
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert Path(found["folder"]).parent == place
    assert found["rights"] == "0o700"
    assert found["logs"] > 0
    assert found["files"] == found["command_lines"] == []
    assert found["environments"] >= 3  # the search was for the right thing
    assert found["right"] == "answered"
    assert "AuthenticationError" in found["wrong"]
    assert "AuthenticationError" in found["none"]
    assert found["restored"]
    assert proxy.asked == []
    assert os.listdir(place) == ["file"]


def test_ctrl_c_removes_it_too(place: Path) -> None:
    def press() -> None:
        with private_ray():
            (private_folder() / "ray").mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        press()
    assert os.environ["RAY_TMPDIR"] == str(place)
    assert os.listdir(place) == []


def test_what_a_killed_process_left_is_removed_later_and_no_more(place: Path) -> None:
    program = (
        "import os, signal; from tunebox.engine.nodes.private_ray import private_ray\n"
        "with private_ray(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    [left] = place.iterdir()
    (left / "ray" / "logs").mkdir(parents=True)
    of_others = [place / "tb-board", place / "tb-12345678"]  # not of tunebox
    for folder in of_others:
        folder.mkdir()
    with private_ray():
        first = private_folder()
        assert not left.exists()
        os.environ["RAY_TMPDIR"] = str(place)
        with private_ray():
            assert sorted(place.iterdir()) == sorted([*of_others, first, private_folder()])
    assert sorted(place.iterdir()) == sorted(of_others)


def test_each_has_a_token_of_its_own(place: Path) -> None:
    tokens = []
    for _ in range(2):
        with private_ray():
            tokens.append(os.environ["RAY_AUTH_TOKEN"])
    assert len({*tokens}) == 2
    assert min(map(len, tokens)) >= 32


def test_logs_are_bounded_unless_the_user_says_how(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ROTATION_MAX_BYTES", raising=False)
    monkeypatch.setenv("RAY_ROTATION_BACKUP_COUNT", "7")
    with private_ray():
        assert 0 < int(os.environ["RAY_ROTATION_MAX_BYTES"]) < 50_000_000  # Ray's: 512 MiB
        assert os.environ["RAY_ROTATION_BACKUP_COUNT"] == "7"
    assert "RAY_ROTATION_MAX_BYTES" not in os.environ


def of_length(place: Path, num_bytes: int) -> Path:
    return place / ("x" * (num_bytes - len(str(place)) - 1))


def test_the_longest_place_has_room_for_ray_s_sockets(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(of_length(place, module._MAX_BYTES)))
    with private_ray(), socket.socket(socket.AF_UNIX) as probe:
        sockets = private_folder() / "ray/session_2026-11-27_06-25-42_117649_4194304/sockets"
        sockets.mkdir(parents=True)
        probe.bind(str(sockets / "plasma_store"))


def test_a_longer_place_of_the_user_is_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(of_length(place, module._MAX_BYTES + 1)))
    with pytest.raises(ClusterError, match=r"^RAY_TMPDIR is '.*x', a path too long .* \d+ bytes$"):
        private_ray().__enter__()
    assert os.listdir(place) == []


def test_a_long_temporary_folder_of_the_system_is_none_for_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(of_length(tmp_path, 200)))
    with private_ray():
        assert private_folder().parent == Path("/tmp")


def test_a_place_that_cannot_be_written_is_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "file").touch()
    monkeypatch.setenv("RAY_TMPDIR", str(place / "file"))
    with pytest.raises(ClusterError, match=rf"files in {place}/file \(.*; set RAY_TMPDIR to a"):
        private_ray().__enter__()


def test_what_ray_says_when_it_does_not_start_is_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ROTATION_MAX_BYTES", "much")  # it is asked for a number
    with pytest.raises(ClusterError) as caught:
        connect("local").__enter__()
    assert str(caught.value) == (
        "Ray does not start on this machine (invalid literal for int() with base 10: 'much'); "
        "--address none runs the trials without it, one after the other"
    )
    assert os.listdir(place) == []
