"""What a laptop does with a search on a cluster: hand it over, watch it, stop it, bring it home."""

import contextlib
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from tunebox.api import SearchResult, read_result, searchable_spec
from tunebox.cli_common import EXIT_INTERRUPTED, EXIT_TROUBLE, EXIT_USER_ERROR
from tunebox.cluster.bring_home import bring_home, check_same_search
from tunebox.cluster.follow import Follower
from tunebox.cluster.head import Head, HeadAway, find_head
from tunebox.cluster.jobs import Job, Jobs
from tunebox.cluster.patience import Patience
from tunebox.cluster.site import RemoteSearch, Site, look_at, option_words
from tunebox.errors import ClusterError, NoResultError, RecordsError, TuneboxError
from tunebox.records.search_folder import check_free, list_names, next_name
from tunebox.records.tracking import public_uri, resolve_tracking_uri
from tunebox.spec.search_spec import check_name, default_out

_LOOK_SECONDS = 1.0
_SEARCH_EXIT_CODES = (0, EXIT_TROUBLE, EXIT_INTERRUPTED)  # of one that has written how it ended


class ClusterSession:
    """One cluster, as a person at a laptop works with it."""

    def __init__(self, cluster_file: str, console: Console) -> None:
        """Find the head and look at what is there.

        Raises:
            ClusterError: The cluster does not run, or tunebox does not work on its head.
        """
        self._file = cluster_file
        self._console = console
        self._patience = Patience(console)
        self.head: Head = find_head(cluster_file)
        self._site: Site = look_at(self.head)
        self._jobs = Jobs(self.head)
        self._token = ""  # of what this session has handed over

    def start(self, name: str, words: list[str], files: Mapping[str, str]) -> None:
        """Hand over ``tunebox search`` with ``words``, in a folder that has ``files``.

        Raises:
            NoResultError: A person breaks it off.
            ClusterError: The search runs already, or Ray does not answer.
        """
        command = ["tunebox", "search", *words, f"--out={self._site.out}"]
        token = self._token = uuid.uuid4().hex
        self._jobs.find(name)  # no Ray is a mistake to be told at once, a lost connection later
        try:
            self._patience.until_it_works(lambda: self._jobs.submit(name, command, files, token))
        except KeyboardInterrupt:
            may = f"{name} may run; watch it with: {self._typed('attach', name)}"
            line = f"{may}, or end it with: {self._typed('stop', name)}"
            raise NoResultError(EXIT_INTERRUPTED, line) from None
        self._console.print(
            f"{name}: handed over to the cluster at {self.head.address}", soft_wrap=True
        )

    def attach(self, name: str, out: Path) -> SearchResult:
        """Show the search ``name`` until it ends, bring it home into ``out``, and return it.

        Raises:
            NoResultError: A person leaves it alone, or its process was killed.
            TuneboxError: There is no such search, it could not begin, or the head stays away.
        """
        search = self._site.search(name)
        try:
            self._watch_or_stop(search)
            return self._result(search, out)
        except HeadAway as error:
            again = self._typed("attach", name)
            raise ClusterError(
                f"{error}; what runs there goes on, watch it once the head answers with: {again}"
            ) from error

    def stop(self, name: str) -> bool:
        """End the search ``name`` in good order and wait until it has ended.

        Returns:
            Whether there is something to go on with; there is not where it had not begun.

        Raises:
            ClusterError: It does not run.
        """
        search = self._site.search(name)
        if search.driver() is None:  # it has ended, or has not begun yet
            job = self._jobs.find(name)
            if job is not None and not job.is_over:
                self._jobs.kill(name)
                return search.has("search.yaml")
        search.stop()
        return True

    def _typed(self, verb: str, name: str) -> str:
        return f"tunebox {verb} {name} --cluster {self._file}"

    def _watch_or_stop(self, search: RemoteSearch) -> None:
        """Show the search until it ends, which a person may ask for with Ctrl-C."""
        while True:
            try:
                self._watch(search)
                return
            except KeyboardInterrupt:
                if not self._is_to_stop():
                    again = self._typed("attach", search.name)
                    line = f"{search.name} goes on; watch it with: {again}"
                    raise NoResultError(EXIT_INTERRUPTED, line) from None
            self._stop_or_say_why_not(search.name)

    def _stop_or_say_why_not(self, name: str) -> None:
        try:
            self.stop(name)
        except ClusterError as error:  # it may have ended in the meantime: it is watched again
            self._console.print(f"not stopped: {error}", soft_wrap=True)

    def check_known(self, name: str, out: Path) -> None:
        """Raise TuneboxError unless the cluster has ``name``, and ``out`` has room for it."""
        is_there = name in self._site.names  # so it is the name of a folder
        if not is_there and (not _is_name(name) or self._jobs.find(name) is None):
            there = ", ".join(self._site.names) or "none"
            raise ClusterError(f"no search {name!r} on the cluster; it has {there}")
        check_same_search(self._site.search(name), out)

    def free_name(self, wanted: str | None, stem: str, out: Path) -> str:
        """Return a name that is free on the cluster and in ``out``: ``wanted``, else a new one.

        Raises:
            TuneboxError: The wanted name is taken.
        """
        name = wanted or next_name([*self._site.names, *list_names(out)], stem)
        if name in self._site.names:
            raise RecordsError(
                f"{name} is on the cluster already; go on with it (--resume {name}) or choose "
                "another name with --name"
            )
        check_free(out, name)
        return name

    def _watch(self, search: RemoteSearch) -> None:
        """Return when no process runs the search any more."""
        driver = self._patience.until_it_works(search.driver)
        if driver is None:
            driver = self._beginning(search)
        if driver is not None:
            Follower(search, self._console, self._patience).run(driver)

    def _beginning(self, search: RemoteSearch) -> int | None:
        """Show what the search prints until its process runs it; None if it ends before."""
        told = 0
        while True:
            driver = self._patience.until_it_works(search.driver)
            job = self._patience.until_it_works(lambda: self._jobs.find(search.name))
            if job is None or job.is_over:
                return driver
            said = self._patience.until_it_works(lambda: self._jobs.output(search.name))
            whole = said[: said.rfind("\n") + 1]  # lines
            self._console.print(whole[told:], end="", soft_wrap=True)
            told = len(whole)
            if driver is not None:
                return driver
            time.sleep(_LOOK_SECONDS)

    def _result(self, search: RemoteSearch, out: Path) -> SearchResult:
        job = self._ended_job(search.name)
        # that of an earlier run, or one that was refused, says nothing of how the search ended
        ours = job if job is not None and job.token == self._token else None
        if ours is not None and ours.exit_code == EXIT_USER_ERROR:
            raise ClusterError(self._refusal(search.name, ours))
        if not self._patience.until_it_works(lambda: search.has("trials.parquet")):
            code = EXIT_TROUBLE if job is None else job.exit_code or EXIT_TROUBLE
            raise NoResultError(code, self._last_words(search.name, job))
        folder = self._patience.until_it_works(lambda: bring_home(search, out))
        result = read_result(folder)
        if result is None or (ours is not None and ours.exit_code not in _SEARCH_EXIT_CODES):
            line = f"{search.name} was killed; go on with it: tunebox search --resume "
            raise NoResultError(EXIT_TROUBLE, f"{line}{search.name} --cluster {self._file}")
        warnings = [f"on the cluster: {warning}" for warning in result.warnings]
        return replace(result, out=str(out), warnings=warnings)

    def _ended_job(self, name: str) -> Job | None:
        """Return the job of ``name`` once it is over; None if Ray knows of none, or is gone."""
        with contextlib.suppress(ClusterError):
            while True:
                job = self._patience.until_it_works(lambda: self._jobs.find(name))
                if job is None or job.is_over:
                    return job
                time.sleep(_LOOK_SECONDS)
        return None

    def _refusal(self, name: str, job: Job) -> str:
        said = self._last_words(name, job).splitlines()
        errors = [line for line in said if line.startswith("error: ")]
        return (errors or said)[-1].removeprefix("error: ")

    def _last_words(self, name: str, job: Job | None) -> str:
        if job is None:
            return f"error: {name} has left nothing on the cluster"
        said = self._patience.until_it_works(lambda: self._jobs.output(name)).strip()
        return said or f"error: {job.message or 'no reason given'}"

    def _is_to_stop(self) -> bool:
        """Ask the person; where there is none the search goes on."""
        if not (self._console.is_terminal and sys.stdin.isatty()):
            return False
        try:
            answer = self._console.input("leave the search running or stop it? [L/s] ")
        except (KeyboardInterrupt, EOFError):
            return False
        return answer.strip().lower() in ("s", "stop")


def search_on_cluster(
    cluster_file: str,
    file: str | None,
    *,
    resume: bool,
    tracking_uri: str | None,
    console: Console,
    **options: Any,
) -> SearchResult:
    """Search ``file`` on the cluster, or go on with a search there; see `tunebox.api.search`.

    Raises:
        NoResultError: A person leaves the search alone, or its process was killed.
        TuneboxError: Something that a person can put right.
    """
    _check_place(tracking_uri, options)
    name, out = options.pop("name"), options.pop("out")
    files, wanted, stem = {}, name, ""
    words = option_words({**options, "tracking_uri": tracking_uri})
    if not resume:
        spec = searchable_spec(file, {**options, "name": name, "out": out})
        _check_place(tracking_uri, {"address": spec.search.address})
        stem, out, wanted = spec.stem, spec.search.out, spec.search.name
        files = {f"{spec.stem}.yaml": spec.source.text}
        words += [f"{spec.stem}.yaml"]
    elif file is not None:
        raise TuneboxError("--resume needs no file: the settings are in the search's folder")
    home = Path(out or default_out())
    session = ClusterSession(cluster_file, console)
    if resume:
        session.check_known(name, home)
        words += [f"--resume={name}"]
    else:
        name = session.free_name(wanted, stem, home)
        words += [f"--name={name}"]
    session.start(name, words, files)
    return session.attach(name, home)


def _is_name(name: str) -> bool:
    with contextlib.suppress(ValueError):
        check_name(name)
        return True
    return False


def _check_place(tracking_uri: str | None, options: Mapping[str, Any]) -> None:
    """Raise TuneboxError for what says where a search runs or is kept, and cannot on a cluster."""
    if options.get("address") is not None:
        raise TuneboxError(
            f"address {options['address']} and --cluster both say where to search; leave one out"
        )
    if tracking_uri is not None:
        resolve_tracking_uri(tracking_uri, Path())
        if public_uri(tracking_uri) != tracking_uri:
            raise TuneboxError(
                "--tracking-uri with a password would be shown by Ray; set MLFLOW_TRACKING_URI "
                "in /etc/profile.d/tunebox.sh on the head instead"
            )
