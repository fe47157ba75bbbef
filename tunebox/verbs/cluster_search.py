"""Searches on a remote cluster: submit, watch, stop and download them from this machine."""

import contextlib
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunebox.decisions.events import MakeObserver, Observer
from tunebox.errors import (
    EXIT_INTERRUPTED,
    EXIT_TROUBLE,
    EXIT_USER_ERROR,
    ClusterError,
    NoResultError,
    RecordsError,
    TuneboxError,
)
from tunebox.parts.code import code_files
from tunebox.records.confirmed_table import read_confirmed
from tunebox.records.search_folder import check_free, list_names, next_name
from tunebox.remote.cluster_file import find_head
from tunebox.remote.download import check_same_search, download_search
from tunebox.remote.follow import Follower
from tunebox.remote.head import Head, HeadUnreachable
from tunebox.remote.jobs import Job, Jobs
from tunebox.remote.remote_search import (
    ClusterStorage,
    RemoteSearch,
    option_arguments,
    read_storage,
)
from tunebox.remote.retry import Retry
from tunebox.spec.load import SearchFile
from tunebox.spec.search_settings import check_name, default_out
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.write import search_yaml
from tunebox.text import shell_command
from tunebox.tracking.stores import public_uri, resolve_tracking_uri
from tunebox.verbs.results import SearchResult, read_result
from tunebox.verbs.search import searchable_spec

_POLL_SECONDS = 1.0
# exit codes of a search whose folder says how it ended
_SEARCH_EXIT_CODES = (0, EXIT_TROUBLE, EXIT_INTERRUPTED)


class ClusterSession:
    """A connection to one cluster from another machine."""

    def __init__(
        self,
        cluster_file: str,
        *,
        note: Callable[[str], None] = lambda line: None,
        display: MakeObserver = lambda *search: Observer(),
        wants_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Find the head, check its tunebox and list its searches.

        Args:
            cluster_file: Cluster file that the cluster was started with.
            note: Called with lines that a person may want to read.
            display: Called with the name, the settings and the trials of a search that is
                watched; the observer that it returns gets the events.
            wants_stop: Asks the user, after Ctrl-C, whether to stop the search that is watched.

        Raises:
            ClusterError: The cluster does not run, or tunebox does not work on its head.
        """
        self._file = cluster_file
        self._note, self._display, self._wants_stop = note, display, wants_stop
        self._retry = Retry(note)
        self.head: Head = find_head(cluster_file)
        self._storage: ClusterStorage = read_storage(self.head)
        self._jobs = Jobs(self.head)
        self._token = ""  # of the job that this session has submitted

    def start(self, name: str, arguments: list[str], files: Mapping[str, bytes]) -> None:
        """Submit ``tunebox search`` with ``arguments``, in a folder with ``files``.

        Raises:
            NoResultError: The user pressed Ctrl-C.
            ClusterError: The search is already running, or Ray does not answer.
        """
        command = ["tunebox", "search", *arguments, f"--out={self._storage.out}"]
        token = self._token = uuid.uuid4().hex
        self._jobs.find(name)  # fails at once if no Ray runs; later a lost connection is retried
        try:
            self._retry.call(lambda: self._jobs.submit(name, command, files, token))
        except KeyboardInterrupt:
            may = f"{name} may run; watch it with: {self._command('attach', name)}"
            line = f"{may}, or end it with: {self._command('stop', name)}"
            raise NoResultError(EXIT_INTERRUPTED, line) from None
        self._note(f"{name}: submitted to the cluster at {self.head.address}")

    def attach(self, name: str, out: Path) -> SearchResult:
        """Show the search ``name`` until it ends, download it into ``out``, and return its result.

        Raises:
            NoResultError: The user stopped watching, or the search was killed.
            TuneboxError: No such search, it could not begin, or the head is unreachable.
        """
        search = self._storage.search(name)
        try:
            self._watch_or_stop(search)
            return self._result(search, out)
        except HeadUnreachable as error:
            again = self._command("attach", name)
            raise ClusterError(
                f"{error}; searches there keep running; once the head answers, watch with: {again}"
            ) from error

    def stop(self, name: str) -> bool:
        """Stop the search ``name`` as Ctrl-C does and wait until it has ended.

        Returns:
            Whether it can be resumed, which it cannot if it had not begun.

        Raises:
            ClusterError: The search does not run.
        """
        search = self._storage.search(name)
        if search.driver() is None:  # it has ended, or has not begun yet
            job = self._jobs.find(name)
            if job is not None and not job.is_over:
                self._jobs.kill(name)
                return search.has("search.yaml")
        search.stop()
        return True

    def _command(self, verb: str, name: str) -> str:
        return shell_command("tunebox", verb, name, "--cluster", self._file)

    def _watch_or_stop(self, search: RemoteSearch) -> None:
        """Show the search until it ends; Ctrl-C asks the user whether to stop it."""
        while True:
            try:
                self._watch(search)
                return
            except KeyboardInterrupt:
                if not self._wants_stop():
                    again = self._command("attach", search.name)
                    line = f"{search.name} keeps running; watch it with: {again}"
                    raise NoResultError(EXIT_INTERRUPTED, line) from None
            self._try_to_stop(search.name)

    def _try_to_stop(self, name: str) -> None:
        try:
            self.stop(name)
        except ClusterError as error:  # it may have ended meanwhile: the caller watches it again
            self._note(f"not stopped: {error}")

    def check_known(self, name: str, out: Path) -> None:
        """Raise TuneboxError unless the cluster has ``name``, and ``out`` no other ``name``."""
        is_there = name in self._storage.names  # which implies a valid name
        if not is_there and (not _is_name(name) or self._jobs.find(name) is None):
            there = ", ".join(self._storage.names) or "none"
            raise ClusterError(f"no search {name!r} on the cluster; it has {there}")
        check_same_search(self._storage.search(name), out)

    def free_name(self, wanted: str | None, stem: str, out: Path) -> str:
        """Return ``wanted``, or a new name, after checking that the cluster and ``out`` lack it.

        Raises:
            TuneboxError: The wanted name is taken.
        """
        name = wanted or next_name([*self._storage.names, *list_names(out)], stem)
        if name in self._storage.names:
            raise RecordsError(
                f"{name} is on the cluster already; continue it (--resume {name}) or choose "
                "another name with --name"
            )
        check_free(out, name)
        return name

    def _watch(self, search: RemoteSearch) -> None:
        """Show the search until no process runs it any more."""
        driver = self._retry.call(search.driver)
        if driver is None:
            driver = self._wait_for_driver(search)
        if driver is not None:
            Follower(search, self._display, self._retry).run(driver)

    def _wait_for_driver(self, search: RemoteSearch) -> int | None:
        """Show the job's output until the search begins; return its pid, None if it ended."""
        num_noted = 0
        while True:
            driver = self._retry.call(search.driver)
            job = self._retry.call(lambda: self._jobs.find(search.name))
            if job is None or job.is_over:
                return driver
            said = self._retry.call(lambda: self._jobs.output(search.name))
            lines = said.split("\n")[:-1]  # the complete ones
            for line in lines[num_noted:]:
                self._note(line)
            num_noted = len(lines)
            if driver is not None:
                return driver
            time.sleep(_POLL_SECONDS)

    def _result(self, search: RemoteSearch, out: Path) -> SearchResult:
        job = self._ended_job(search.name)
        # only the job of this session says how the search ended: another may be of an earlier run
        ours = job if job is not None and job.token == self._token else None
        if ours is not None and ours.exit_code == EXIT_USER_ERROR:
            raise ClusterError(self._refusal(search.name, ours))
        if not self._retry.call(lambda: search.has("trials.parquet")):
            code = EXIT_TROUBLE if job is None else job.exit_code or EXIT_TROUBLE
            raise NoResultError(code, self._last_output(search.name, job))
        folder = self._retry.call(lambda: download_search(search, out))
        result = read_result(folder)
        if result is None or (ours is not None and ours.exit_code not in _SEARCH_EXIT_CODES):
            again = shell_command(
                "tunebox", "search", "--resume", search.name, "--cluster", self._file
            )
            raise NoResultError(EXIT_TROUBLE, f"{search.name} was killed; continue it: {again}")
        warnings = [f"on the cluster: {warning}" for warning in result.warnings]
        repeated = read_confirmed(folder)  # by the repeats at its end
        return replace(result, out=str(out), warnings=warnings, confirmed=repeated)

    def _ended_job(self, name: str) -> Job | None:
        """Return the job of ``name`` once it is over, None if Ray does not know or answer."""
        with contextlib.suppress(ClusterError):
            while True:
                job = self._retry.call(lambda: self._jobs.find(name))
                if job is None or job.is_over:
                    return job
                time.sleep(_POLL_SECONDS)
        return None

    def _refusal(self, name: str, job: Job) -> str:
        said = self._last_output(name, job).splitlines()
        errors = [line for line in said if line.startswith("error: ")]
        return (errors or said)[-1].removeprefix("error: ")

    def _last_output(self, name: str, job: Job | None) -> str:
        if job is None:
            return f"error: {name} left no output on the cluster"
        said = self._retry.call(lambda: self._jobs.output(name)).strip()
        return said or f"error: {job.message or 'no reason given'}"


def search_on_cluster(
    cluster_file: str,
    file: SearchFile | None = None,
    *,
    resume: bool = False,
    tracking_uri: str | None = None,
    note: Callable[[str], None] = lambda line: None,
    display: MakeObserver = lambda *search: Observer(),
    wants_stop: Callable[[], bool] = lambda: False,
    **options: Any,
) -> SearchResult:
    """Search ``file`` on the cluster, or resume a search there, and return what was found.

    Args:
        cluster_file: Cluster file that the cluster was started with.
        file: As for `tunebox.search`; it is sent to the cluster.
        resume: Go on with the search ``name`` of the cluster instead; ``file`` stays None.
        tracking_uri: Address of MLflow; None for that of the cluster.
        note: As for `ClusterSession`, like the two that follow.
        display: See ``note``.
        wants_stop: See ``note``.
        options: As for `tunebox.search`.

    Raises:
        NoResultError: The user stopped watching, or the search was killed.
        TuneboxError: A mistake of the user, or a problem with the cluster.
    """
    _check_options(tracking_uri, options)
    name, out = options.pop("name", None), options.pop("out", None)
    wanted, stem = name, ""
    files: dict[str, bytes] = {}
    arguments = option_arguments({**options, "tracking_uri": tracking_uri})
    if not resume:
        spec = searchable_spec(file, {**options, "name": name, "out": out})
        _check_options(tracking_uri, {"address": spec.search.address})
        stem, out, wanted = spec.stem, spec.search.out, spec.search.name
        # a checked search may have other settings than its file
        text = search_yaml(file) if isinstance(file, SearchSpec) else spec.source.text
        code = code_files(spec.code, spec.references)
        files = {f"code/{path}": content for path, content in code.items()}
        files[f"{spec.stem}.yaml"] = text.encode()
        arguments += [f"{spec.stem}.yaml"]
    elif file is not None:
        raise TuneboxError("--resume needs no file: the settings are in the search's folder")
    home = Path(out or default_out())
    session = ClusterSession(cluster_file, note=note, display=display, wants_stop=wants_stop)
    if resume:
        session.check_known(name, home)
        arguments += [f"--resume={name}"]
    else:
        name = session.free_name(wanted, stem, home)
        arguments += [f"--name={name}"]
    session.start(name, arguments, files)
    return session.attach(name, home)


def _is_name(name: str) -> bool:
    with contextlib.suppress(ValueError):
        check_name(name)
        return True
    return False


def _check_options(tracking_uri: str | None, options: Mapping[str, Any]) -> None:
    """Raise TuneboxError for an address or tracking URI that does not go with ``--cluster``."""
    if options.get("address") is not None:
        raise TuneboxError(
            f"address {options['address']} and --cluster both choose a cluster; leave one out"
        )
    if tracking_uri is not None:
        resolve_tracking_uri(tracking_uri, Path())
        if public_uri(tracking_uri) != tracking_uri:
            raise TuneboxError(
                "--tracking-uri with a password would be shown by Ray; set MLFLOW_TRACKING_URI "
                "in /etc/profile.d/tunebox.sh on the head instead"
            )
