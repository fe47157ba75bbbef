"""Searches as jobs of the cluster's Ray: hand one over, ask how it is, end it."""

import contextlib
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunebox.cluster.head import Head, HeadAway, quiet_ray
from tunebox.errors import ClusterError, first_line

_DASHBOARD_PORT = 8265  # of Ray, on the head itself
_END_SECONDS = 1.0
_RAYS_LINES = re.compile(
    r"^(?:\S+ \S+\s+INFO job_manager\.py|Running entrypoint for job ).*\n?", re.MULTILINE
)
_TOKEN = "tunebox.hand_over"  # in the metadata of a job


@dataclass(frozen=True)
class Job:
    """How a job is."""

    is_over: bool
    exit_code: int | None  # of the search; None while it runs, or if it was killed
    token: str | None  # of the hand-over that it came from
    message: str | None  # of Ray; all there is of one that could not be started


class Jobs:
    """The searches that were handed over to a cluster, each by its name.

    Raises:
        HeadAway: From each method: the connection was lost.
        ClusterError: Likewise: no Ray answers on the head, or it refuses what it is asked.
    """

    def __init__(self, head: Head) -> None:
        self._head = head

    def submit(
        self, name: str, command: Sequence[str], files: Mapping[str, str], token: str
    ) -> None:
        """Start ``command`` on the head.

        Args:
            name: Of the search.
            command: And its arguments; run in a login shell, in a folder that has ``files``.
            files: Their content by name.
            token: Of this hand-over: one whose answer was lost is repeated with the same, and
                the command runs once.

        Raises:
            ClusterError: The search runs already.
        """
        entrypoint = shlex.join(["bash", "--login", "-c", f"exec {shlex.join(command)}"])
        with tempfile.TemporaryDirectory(prefix="tunebox-") as folder, self._client() as client:
            before = _job(client, name)
            if before is not None and before.token == token:
                return
            if before is not None and not before.is_over:
                raise ClusterError(
                    f"{name} runs on the cluster already; watch it with: "
                    f"tunebox attach {name} --cluster {self._head.cluster_file}"
                )
            if before is not None:
                client.delete_job(_job_id(name))  # of an earlier run of the search
            for file, text in files.items():
                (Path(folder) / file).write_text(text, encoding="utf-8")
            client.submit_job(
                entrypoint=entrypoint,
                submission_id=_job_id(name),
                runtime_env={"working_dir": folder} if files else {},
                metadata={_TOKEN: token},
            )

    def find(self, name: str) -> Job | None:
        """Return the job of the search ``name``, None if the cluster's Ray knows none."""
        with self._client() as client:
            return _job(client, name)

    def output(self, name: str) -> str:
        """Return what the search ``name`` has printed, without what Ray says of its job."""
        with self._client() as client:
            return _RAYS_LINES.sub("", str(client.get_job_logs(_job_id(name))))

    def kill(self, name: str) -> None:
        """End the job of a search that has not begun; one that has is to be stopped."""
        with self._client() as client:
            client.stop_job(_job_id(name))

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        from ray.job_submission import JobSubmissionClient

        with quiet_ray(), self._head.tunnel(_DASHBOARD_PORT) as tunnel:
            url = f"http://127.0.0.1:{tunnel.port}"
            try:
                with _environment(RAY_API_SERVER_ADDRESS=url, NO_PROXY="*"):
                    yield JobSubmissionClient(url)
            except OSError as error:  # those of requests too
                if _ends(tunnel.process):
                    raise HeadAway(f"the connection to {self._head.address} was lost") from error
                raise ClusterError(
                    f"no Ray answers on the head {self._head.address} ({first_line(error)}); "
                    f"start it with: ray up {self._head.cluster_file}"
                ) from error
            except RuntimeError as error:
                raise ClusterError(
                    f"Ray on {self._head.address} refuses the job: {first_line(error)}"
                ) from error


def _ends(process: "subprocess.Popen[str]") -> bool:
    """Return whether ssh has ended, which it does a moment after its connections."""
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
    """Set variables for a while: they win over what Ray's client is told, and over a proxy."""
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
