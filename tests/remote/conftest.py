from collections.abc import Iterator

import pytest

from tests.remote.fake_ray import ray
from tests.remote.hosts import Hosts, running_hosts, why_no_hosts

__all__ = ["can_make_hosts", "hosts", "ray"]


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
