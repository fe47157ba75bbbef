from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.here import HereHead
from tunebox.cluster.jobs import Jobs
from tunebox.errors import ClusterError


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


@dataclass
class Ray:
    """The jobs of a cluster, as Ray's client shows them."""

    jobs: list[Details] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def list_jobs(self) -> list[Details]:
        return self.jobs

    def delete_job(self, job_id: str) -> None:
        self.told.append(f"delete {job_id}")
        self.jobs = [job for job in self.jobs if job.submission_id != job_id]

    def submit_job(self, **job: Any) -> None:
        folder = job["runtime_env"].get("working_dir")
        files = {p.name: p.read_text() for p in Path(folder).iterdir()} if folder else {}
        self.told.append(f"submit {job['entrypoint']} with {files}")
        self.jobs.append(Details(job["submission_id"], job["metadata"]))


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    ray = Ray()

    @contextmanager
    def client(self: Jobs) -> Iterator[Ray]:
        yield ray

    monkeypatch.setattr(Jobs, "_client", client)
    return ray


@pytest.fixture
def jobs(ray: Ray) -> Jobs:
    return Jobs(HereHead())


def submit(jobs: Jobs, token: str) -> None:
    jobs.submit("s-1", ["tunebox", "search", "a b"], {"f.yaml": "x"}, token)


def test_a_hand_over_whose_answer_was_lost_is_done_once(jobs: Jobs, ray: Ray) -> None:
    submit(jobs, "one")
    submit(jobs, "one")
    [told] = ray.told
    assert told == (
        """submit bash --login -c 'exec tunebox search '"'"'a b'"'"'' with {'f.yaml': 'x'}"""
    )


def test_a_search_that_runs_is_not_handed_over_again(jobs: Jobs, ray: Ray) -> None:
    submit(jobs, "one")
    with pytest.raises(ClusterError, match=r"s-1 runs on .* tunebox attach s-1 --cluster cluster"):
        submit(jobs, "two")
    assert len(ray.told) == 1


def test_a_job_that_is_over_makes_room_for_the_next(jobs: Jobs, ray: Ray) -> None:
    submit(jobs, "one")
    ray.jobs[0].status = Status.FAILED
    ray.jobs[0].driver_exit_code = 130
    found = jobs.find("s-1")
    assert found is not None
    assert (found.is_over, found.exit_code, found.token) == (True, 130, "one")
    submit(jobs, "two")
    assert ray.told[1] == "delete tunebox-s-1"
    assert len(ray.told) == 3
    assert jobs.find("s-10") is None
