"""Searches as Ray jobs on the cluster: submit, inspect and stop them."""

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunebox.errors import ClusterError, first_line
from tunebox.parts.code import CODE_VARIABLE, write_code
from tunebox.remote.head import Head, HeadUnreachable, quiet_ray
from tunebox.remote.ssh import login_shell
from tunebox.text import shell_command, without_colours

_DASHBOARD_PORT = 8265  # Ray's default, on the head's loopback address
_END_SECONDS = 1.0
_RAY_LINES = re.compile(
    r"^(?:\S+ \S+\s+INFO job_manager\.py|Running entrypoint for job ).*\n?", re.MULTILINE
)
_TOKEN = "tunebox.submission"  # in the metadata of a job


@dataclass(frozen=True)
class Job:
    """Status of a job."""

    is_over: bool
    exit_code: int | None  # None while the search runs, or if it was killed
    token: str | None  # token of the `Jobs.submit` call that started it
    message: str | None  # Ray's message; the only output of a job that could not start


class Jobs:
    """Jobs of the searches that were submitted to a cluster, by the name of the search.

    Every method raises HeadUnreachable if the connection is lost, and ClusterError if no Ray
    answers on the head or Ray refuses the request.
    """

    def __init__(self, head: Head) -> None:
        self._head = head

    def submit(
        self, name: str, command: Sequence[str], files: Mapping[str, bytes], token: str
    ) -> None:
        """Start ``command`` on the head.

        Args:
            name: Name of the search.
            command: Command and arguments; runs in a login shell, in a folder with ``files``.
            files: Content by path in that folder; what is in ``code`` is code of the user's own.
            token: Unique token of this submission. A repeated call with the same token, after
                its answer was lost, does not start the command again.

        Raises:
            ClusterError: The search is already running.
        """
        with tempfile.TemporaryDirectory(prefix="tunebox-") as folder, self._client() as client:
            before = _job(client, name)
            if before is not None and before.token == token:
                return
            if before is not None and not before.is_over:
                watch = shell_command(
                    "tunebox", "attach", name, "--cluster", self._head.cluster_file
                )
                raise ClusterError(f"{name} runs on the cluster already; watch it with: {watch}")
            if before is not None:
                client.delete_job(_job_id(name))  # job of an earlier run of the search
            write_code(files, Path(folder))
            environment = {CODE_VARIABLE: "code"} if (Path(folder) / "code").is_dir() else {}
            client.submit_job(
                entrypoint=login_shell(command),
                submission_id=_job_id(name),
                runtime_env={"working_dir": folder, "env_vars": environment} if files else {},
                metadata={_TOKEN: token},
            )

    def find(self, name: str) -> Job | None:
        """Return the job of the search ``name``, None if Ray knows none."""
        with self._client() as client:
            return _job(client, name)

    def output(self, name: str) -> str:
        """Return the output of the search ``name``, without the lines and colours that Ray adds."""
        with self._client() as client:
            said = without_colours(str(client.get_job_logs(_job_id(name))))
            return _RAY_LINES.sub("", said)

    def kill(self, name: str) -> None:
        """Kill the job of a search that has not begun; use `RemoteSearch.stop` for one that has."""
        with self._client() as client:
            client.stop_job(_job_id(name))

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        from ray.job_submission import JobSubmissionClient

        with quiet_ray(), self._head.tunnel(_DASHBOARD_PORT) as tunnel:
            url = f"http://127.0.0.1:{tunnel.port}"
            try:
                with _environment(RAY_API_SERVER_ADDRESS=url):
                    yield JobSubmissionClient(url)
            except OSError as error:  # base class of the errors of requests too
                if _ends(tunnel.process):
                    raise HeadUnreachable(
                        f"the connection to {self._head.address} was lost"
                    ) from error
                raise ClusterError(
                    f"no Ray answers on the head {self._head.address} ({first_line(error)}); "
                    f"start it with: {self._head.start_command}"
                ) from error
            except RuntimeError as error:
                raise ClusterError(
                    f"Ray on {self._head.address} refuses the job: {first_line(error)}"
                ) from error


def _ends(process: "subprocess.Popen[str]") -> bool:
    """Return whether ssh ends, which it does a moment after its connection is lost."""
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _job_id(name: str) -> str:
    return f"tunebox-{name}"


def _job(client: Any, name: str) -> Job | None:
    for details in client.list_jobs():
        if details.submission_id == _job_id(name):
            return Job(
                is_over=details.status.is_terminal(),
                exit_code=details.driver_exit_code,
                token=(details.metadata or {}).get(_TOKEN),
                message=details.message,
            )
    return None


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set variables temporarily; they win over the address given to Ray's client."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
