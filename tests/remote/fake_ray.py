"""The jobs of a cluster, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from tunebox.remote.jobs import Jobs


class Status(Enum):
    RUNNING = 1
    FAILED = 2

    def is_terminal(self) -> bool:
        return self is Status.FAILED


@dataclass
class Details:
    submission_id: str
    metadata: dict[str, str]
    status: Status = Status.RUNNING
    driver_exit_code: int | None = None
    message: str | None = None


@dataclass
class Ray:
    """The jobs of a cluster, as Ray's client shows them."""

    jobs: list[Details] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)  # by a job, from one look at it to the next
    looks: int = 0

    def list_jobs(self) -> list[Details]:
        return self.jobs

    def get_job_logs(self, job_id: str) -> str:
        """All lines so far; the job is over with its last one."""
        self.looks += 1
        if self.looks >= len(self.said):
            self.jobs[0].status = Status.FAILED
        return "".join(self.said[: self.looks])

    def stop_job(self, job_id: str) -> None:
        self.requests.append(f"stop {job_id}")

    def delete_job(self, job_id: str) -> None:
        self.requests.append(f"delete {job_id}")
        self.jobs = [job for job in self.jobs if job.submission_id != job_id]

    def submit_job(self, **job: Any) -> None:
        folder = job["runtime_env"].get("working_dir")
        files = {p.name: p.read_text() for p in Path(folder).iterdir()} if folder else {}
        self.requests.append(f"submit {job['entrypoint']} with {files}")
        self.jobs.append(Details(job["submission_id"], job["metadata"]))


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    """Stands for the Ray that `Jobs` ask."""
    ray = Ray()

    @contextmanager
    def client(self: Jobs) -> Iterator[Ray]:
        yield ray

    monkeypatch.setattr(Jobs, "_client", client)
    return ray
