from __future__ import annotations

import pytest

from tests.remote.fake_ray import Ray, Status
from tests.remote.here import HereHead
from tunebox.errors import ClusterError
from tunebox.remote.head import HeadUnreachable
from tunebox.remote.jobs import Jobs


@pytest.fixture
def jobs(ray: Ray) -> Jobs:
    return Jobs(HereHead())


def submit(jobs: Jobs, token: str) -> None:
    jobs.submit("s-1", ["tunebox", "search", "a b"], {"f.yaml": b"x"}, token)


def test_a_submission_whose_answer_was_lost_is_done_once(jobs: Jobs, ray: Ray) -> None:
    submit(jobs, "one")
    submit(jobs, "one")
    [request] = ray.requests
    assert request == (
        """submit bash --login -c 'exec tunebox search '"'"'a b'"'"'' with {'f.yaml': 'x'}"""
    )


def test_a_search_that_runs_is_not_handed_over_again(jobs: Jobs, ray: Ray) -> None:
    submit(jobs, "one")
    with pytest.raises(ClusterError, match=r"s-1 runs on .* tunebox attach s-1 --cluster cluster"):
        submit(jobs, "two")
    assert len(ray.requests) == 1


def test_a_job_that_is_over_makes_room_for_the_next(jobs: Jobs, ray: Ray) -> None:
    submit(jobs, "one")
    ray.jobs[0].status = Status.FAILED
    ray.jobs[0].driver_exit_code = 130
    found = jobs.find("s-1")
    assert found is not None
    assert (found.is_over, found.exit_code, found.token) == (True, 130, "one")
    submit(jobs, "two")
    assert ray.requests[1] == "delete tunebox-s-1"
    assert len(ray.requests) == 3
    assert jobs.find("s-10") is None


def test_what_a_search_printed_is_without_what_ray_says_of_its_job(jobs: Jobs, ray: Ray) -> None:
    submit(jobs, "one")
    ray.said = [
        "2026-11-23 08:31:54,695\tINFO job_manager.py:581 -- Runtime env is setting up.\n"
        "Running entrypoint for job tunebox-s-1: bash --login -c 'exec tunebox search s.yaml'\n"
        "s-1: joined the Ray cluster at 10.0.0.1:6379 (3 CPUs, 0 GPUs)\nRunning for the",
    ]
    assert jobs.output("s-1") == (
        "s-1: joined the Ray cluster at 10.0.0.1:6379 (3 CPUs, 0 GPUs)\nRunning for the"
    )


def test_a_lost_connection_is_distinguished_from_an_absent_ray() -> None:
    """Ssh ends a moment after what went through it."""
    with pytest.raises(HeadUnreachable, match="the connection to here was lost"):
        Jobs(HereHead()).find("s-1")
