import pytest

from tunebox.records.rate_limit import RateLimit


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pass_time(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("cost", "pause"), [(0.01, 5.0), (0.1, 5.0), (0.5, 25.0), (3.0, 150.0)])
def test_the_pause_keeps_the_work_to_its_share(cost: float, pause: float) -> None:
    clock = Clock()
    limit = RateLimit(5.0, clock)
    assert limit.is_due
    limit.run(lambda: clock.pass_time(cost))
    clock.pass_time(pause - 0.001)
    assert not limit.is_due
    clock.pass_time(0.002)
    assert limit.is_due
