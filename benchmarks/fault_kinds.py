"""The kinds of faults of `benchmarks.fault_campaign`, and what each does to a running search.

A fault that finds something wrong at once, such as a traceback or a refusal that names no file,
raises AssertionError.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.cluster_utils import Cluster
from ray.core.generated.autoscaler_pb2 import DRAIN_NODE_REASON_PREEMPTION

from benchmarks import shifted_clock
from tests.command_line import run_tunebox, start_tunebox
from tests.faults.check_records import check_tables
from tests.faults.faulty_proxy import Fault as Answer
from tests.faults.faulty_proxy import FaultyProxy
from tests.faults.mlflow_server import MlflowServer
from tests.faults.other_user import can_be_played, what_is_open
from tests.faults.search_process import SearchProcess, kill_process, wait_until, worker_pids
from tests.faults.silent_proxy import silent_proxy
from tests.faults.small_disk import fill
from tunebox.errors import EXIT_INTERRUPTED, EXIT_TROUBLE, EXIT_USER_ERROR

PATIENCE = 400.0  # seconds, on a busy machine
_ROOM = {"num_cpus": 1, "object_store_memory": 80_000_000}
_TRIES = 5
_REFUSED = ("search.yaml", "journal.jsonl")  # a resume refuses the folder until they are put back
_JUMPS = (60.0, 3600.0, 86_400.0, 30 * 86_400.0)  # seconds, forwards and backwards
_SHORT = ("--trials", "3", "--max-epochs", "2")


class Nodes:
    """A Ray cluster of a head, on which the drivers are, and one more node."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self._add(include_dashboard=False)  # the first is the head
        self.node = self._add()

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def kill(self) -> None:
        """Kill the second node, and add another one."""
        self.cluster.remove_node(self.node, allow_graceful=False)
        self.node = self._add()

    def drain(self) -> None:
        """Take the second node away as a cloud takes a preempted machine, and add another one."""
        gcs, deadline = GcsClient(self.address), int(time.time() * 1000) + 1000
        assert gcs.drain_node(self.node.node_id, DRAIN_NODE_REASON_PREEMPTION, "", deadline)[0]
        self.kill()

    def shut_down(self) -> None:
        """Let the second node get a SIGTERM, and add another one."""
        self.cluster.remove_node(self.node, allow_graceful=True)
        self.node = self._add()

    def workers(self) -> list[int]:
        """Return the processes that train."""
        raylets = [n.all_processes["raylet"][0].process.pid for n in (self._head, self.node)]
        return [pid for raylet in raylets for pid in worker_pids(int(raylet))]

    @property
    def _head(self) -> Any:
        return self.cluster.head_node

    def _add(self, **more: Any) -> Any:
        for _ in range(_TRIES):
            try:
                return self.cluster.add_node(**_ROOM, **more)
            except Exception as error:  # Ray has none of its own for a start that takes too long
                print(f"once more: {error}", flush=True)
        raise TimeoutError(f"no node of Ray came up in {_TRIES} tries")


@dataclass
class Scene:
    """A running search, and what is around it."""

    search: SearchProcess
    random: random.Random
    nodes: Nodes
    server: MlflowServer
    proxy: FaultyProxy  # before the server
    number: int = 0  # of the fault
    open: ExitStack = field(default_factory=ExitStack)  # closed when the search is over

    @property
    def has_ended(self) -> bool:
        return self.search.process is not None and self.search.process.poll() is not None

    @property
    def database(self) -> Path:
        """The file that has the runs of the search."""
        if self.search.tracking_uri.startswith("sqlite:///"):
            return Path(self.search.tracking_uri.removeprefix("sqlite:///"))
        return self.server.folder / "mlflow.db"

    def run(self, verb: str, *options: str | Path) -> CompletedProcess[str]:
        """Run a verb on the search; it must not end with a traceback."""
        name = ("--resume", self.search.folder.name) if verb == "search" else (self.name,)
        where = ("--out", self.search.out)
        done = run_tunebox(*(verb, *name, *options, *where), cwd=self.search.home, timeout=PATIENCE)
        assert "Traceback" not in done.stdout + done.stderr, done.stderr[-2000:]
        return done

    @property
    def name(self) -> str:
        return self.search.folder.name

    def kill_driver(self) -> None:
        self.search.kill()

    def press_ctrl_c(self, times: int = 1) -> None:
        """Press Ctrl-C and wait for the end."""
        assert self.search.process is not None
        for number in range(times):
            time.sleep(0.3 * number)
            self.search.process.send_signal(signal.SIGINT)
        code, stdout, stderr = self.search.finish(PATIENCE)
        # a shell shows -SIGINT as 130 too: so ends what has not started Python yet
        ends = (0, EXIT_INTERRUPTED, -signal.SIGINT)
        assert code in ends, f"exit code {code} after Ctrl-C: {stdout[-500:]}{stderr[-500:]}"
        assert "Traceback" not in stdout + stderr, stderr[-2000:]

    def go_on(self) -> None:
        self.search.start()


def _kill_driver(scene: Scene) -> None:
    scene.kill_driver()
    scene.go_on()


def _damage_journal(scene: Scene) -> None:
    scene.kill_driver()
    with (scene.search.folder / "journal.jsonl").open("ab") as journal:
        journal.write(scene.random.choice([b'{"event": "rep', b'{"event": "danced"}\n']))
    scene.go_on()


def _damage_checkpoints(scene: Scene) -> None:
    scene.kill_driver()
    newest = {path.parent: path for path in scene.search.spare_checkpoints()}
    for path in newest.values():
        path.write_bytes(path.read_bytes()[:-100])
    scene.go_on()


def _flip_bit(scene: Scene) -> None:
    """Flip a bit in any of the files of the search, and look what the verbs say."""
    scene.random.choice([scene.kill_driver, scene.press_ctrl_c])()
    spare, root = set(scene.search.spare_checkpoints()), scene.search.folder
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and path.stat().st_size]
    by_kind = {
        path.suffix if path.suffix == ".pt" else path.name: path
        for path in scene.random.sample(files, len(files))
        if path.name != "lock"
    }
    path = by_kind[scene.random.choice(sorted(by_kind))]
    content = path.read_bytes()
    # the last line of the journal may be missing after a crash, so its loss is no fault
    end = content[:-1].rfind(b"\n") if path.name == "journal.jsonl" else len(content)
    flipped = bytearray(content)
    flipped[scene.random.randrange(max(end, 1))] ^= 1 << scene.random.randrange(8)
    path.write_bytes(flipped)
    print(f"   a bit in {path.relative_to(root)}", flush=True)
    if path.name in _REFUSED:
        _assert_refused(scene.run("search"), path, EXIT_USER_ERROR)
        path.write_bytes(content)
    elif path.suffix == ".pt" and path not in spare:
        to = scene.search.home / f"exported-{scene.number}"
        options = ("--pick", path.parent.name, "--to", to)
        _assert_refused(scene.run("export", *options), path, EXIT_TROUBLE)
        path.write_bytes(content)
    else:
        shown = scene.run("front")
        assert shown.returncode in (0, 2), shown.stdout + shown.stderr
    scene.go_on()


def _assert_refused(done: CompletedProcess[str], path: Path, exit_code: int) -> None:
    said = done.stdout[-1000:] + done.stderr[-1000:]
    assert done.returncode == exit_code, f"{path.name} is believed: {said}"
    assert path.name in done.stderr, f"{path.name} is not named: {said}"


def _press_ctrl_c(scene: Scene) -> None:
    scene.press_ctrl_c()
    scene.go_on()


def _press_ctrl_c_at_the_start(scene: Scene) -> None:
    scene.press_ctrl_c()
    scene.go_on()
    time.sleep(scene.random.uniform(0.5, 8))  # before, Python is what is starting
    scene.press_ctrl_c(scene.random.choice([1, 2]))
    scene.go_on()


def _fill_disk(scene: Scene) -> None:
    filler = fill(scene.search.out.parent)
    code, stdout, stderr = scene.search.finish(PATIENCE)
    filler.unlink()
    assert "Traceback" not in stdout + stderr, stderr[-2000:]
    assert code == 0 or "No space left on device" in stderr, stderr[-1000:]
    scene.go_on()


def _kill_worker(scene: Scene) -> None:
    pids = scene.nodes.workers()
    if pids:
        kill_process(scene.random.choice(pids))


def _kill_node(scene: Scene) -> None:
    scene.nodes.kill()


def _give_node_back(scene: Scene) -> None:
    scene.random.choice([scene.nodes.drain, scene.nodes.shut_down])()


def _start_second_driver(scene: Scene) -> None:
    second = scene.run("search")
    is_refused = second.returncode == 2 and "is in use by process" in second.stderr
    assert is_refused or scene.has_ended, second.stdout + second.stderr


def _start_two_searches(scene: Scene) -> None:
    """Start two searches of the same file at once, which must become two searches."""
    out = scene.search.home / f"two-{scene.number}"
    options = ("--address", scene.nodes.address, "--out", out, *_SHORT)
    both = [
        start_tunebox("search", scene.search.search_file, *options, cwd=scene.search.home)
        for _ in range(2)
    ]
    for process in both:
        stdout, stderr = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, stdout[-500:] + stderr[-1000:]
    names = sorted(path.name for path in out.iterdir() if (path / "search.yaml").exists())
    assert names == ["faulty-1", "faulty-2"], names
    for name in names:
        check_tables(out / name)


def _let_another_user_look(scene: Scene) -> None:
    """Let somebody else try to read, write and call what a search with its own Ray has."""
    home = scene.search.home / f"private-{scene.number}"
    home.mkdir()
    search = SearchProcess(home, "--address", "local")
    process = search.start()
    search.wait_for("reported", 1, PATIENCE)
    try:
        if process.poll() is None:
            found = what_is_open(process.pid, search.folder)
            assert not found, f"another user {'; '.join(found)}"
    finally:
        process.send_signal(signal.SIGINT)
        search.finish(PATIENCE)
        shutil.rmtree(home)


def _use_bad_proxy(scene: Scene) -> None:
    """Let the environment name a proxy that swallows everything, or that is not there."""
    scene.random.choice([scene.kill_driver, scene.press_ctrl_c])()
    swallows = scene.random.choice([True, False])
    proxy = scene.open.enter_context(silent_proxy(swallows=swallows))
    before, reported = dict(scene.search.variables), scene.search.count("reported")
    scene.search.variables = {**before, **proxy.variables}
    scene.go_on()
    scene.search.variables = before
    scene.search.wait_for("reported", reported + 1, PATIENCE)
    asked = proxy.asked_for_this_machine()
    assert not asked, f"the proxy was asked for {asked}"


def _set_clock(scene: Scene) -> None:
    """Set the clock of the driver forwards or backwards, while it runs."""
    file = Path(scene.search.variables[shifted_clock.VARIABLE])
    shift = scene.random.choice((-1.0, 1.0)) * scene.random.choice(_JUMPS)
    file.with_suffix(".new").write_text(str(shift), encoding="ascii")
    file.with_suffix(".new").rename(file)


def _answers(*faults: Answer) -> Callable[[Scene], None]:
    def disturb(scene: Scene) -> None:
        scene.proxy.faults, scene.proxy.share = faults, 0.5
        time.sleep(scene.random.uniform(2, 8))
        scene.proxy.faults = ()

    return disturb


def _freeze_server(scene: Scene) -> None:
    scene.server.freeze()
    time.sleep(scene.random.uniform(2, 8))
    scene.server.thaw()


def _kill_server(scene: Scene) -> None:
    scene.server.kill()
    time.sleep(scene.random.uniform(0, 3))
    scene.server.start()


def _empty_server(scene: Scene) -> None:
    scene.server.kill()
    for path in scene.server.folder.glob("mlflow.db*"):
        path.unlink()
    scene.server.start()


def _delete_database(scene: Scene) -> None:
    scene.database.unlink()


def _empty_database(scene: Scene) -> None:
    scene.database.write_bytes(b"")


@dataclass(frozen=True)
class Kind:
    """A kind of faults."""

    name: str
    inject: Callable[[Scene], None]
    store: str | None = None  # server, file: of the searches that it is for; None: all
    counts_as_failure: bool = False  # of a trial
    is_about_mlflow: bool = False

    def fits(self, *, store: str, has_failures: bool) -> bool:
        """Whether it is for a search with this store, and with or without failures allowed."""
        is_possible = self.inject is not _let_another_user_look or can_be_played()
        is_allowed = has_failures or not self.counts_as_failure
        return is_possible and is_allowed and self.store in (None, store)


def _of_mlflow(name: str, inject: Callable[[Scene], None], store: str) -> Kind:
    return Kind(name, inject, store, is_about_mlflow=True)


KINDS = (
    Kind("driver killed", _kill_driver),
    Kind("driver killed, end of the journal damaged", _damage_journal),
    Kind("driver killed, newest checkpoints damaged", _damage_checkpoints),
    Kind("a bit flipped in any file of the search", _flip_bit),
    Kind("Ctrl-C", _press_ctrl_c),
    Kind("Ctrl-C during the start, once or twice", _press_ctrl_c_at_the_start),
    Kind("disk full", _fill_disk),
    Kind("worker killed", _kill_worker, counts_as_failure=True),
    Kind("node killed", _kill_node, counts_as_failure=True),
    Kind("node preempted or shut down", _give_node_back),
    Kind("second driver", _start_second_driver),
    Kind("two searches started at once", _start_two_searches),
    Kind("another user looks and calls", _let_another_user_look),
    Kind("proxy that swallows or refuses", _use_bad_proxy),
    Kind("clock of the driver set by up to 30 days", _set_clock),
    _of_mlflow("MLflow frozen for seconds", _freeze_server, "server"),
    _of_mlflow("MLflow killed and started again", _kill_server, "server"),
    _of_mlflow("MLflow killed and started with an empty store", _empty_server, "server"),
    _of_mlflow("MLflow answers 500 for seconds", _answers("error"), "server"),
    _of_mlflow(
        "MLflow answers late or not at all for seconds",
        _answers("late answer", "lost answer"),
        "server",
    ),
    _of_mlflow("MLflow's SQLite file deleted", _delete_database, "file"),
    _of_mlflow("MLflow's SQLite file emptied", _empty_database, "file"),
)


def wait_for_delivery(count: Callable[[], int | None], before: int | None, scene: Scene) -> bool:
    """Wait until MLflow has taken something, and return whether it has."""
    wait_until(lambda: count() not in (before, None) or scene.has_ended, "delivery", PATIENCE)
    return count() not in (before, None)
