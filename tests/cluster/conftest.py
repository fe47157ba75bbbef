from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cluster.fake_ray import Ray
from tests.cluster.hosts import Hosts, running_hosts, why_no_hosts
from tunebox.cluster.jobs import Jobs


@pytest.fixture(scope="session")
def can_make_hosts() -> None:
    """Skip what needs hosts where they cannot be made."""
    reason = why_no_hosts()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def hosts(can_make_hosts: None) -> Iterator[Hosts]:
    """Three hosts for the tests of a module."""
    with running_hosts(3) as hosts:
        yield hosts


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    """Stands for the Ray that `Jobs` ask."""
    ray = Ray()

    @contextmanager
    def client(self: Jobs) -> Iterator[Ray]:
        yield ray

    monkeypatch.setattr(Jobs, "_client", client)
    return ray
