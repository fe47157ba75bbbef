from __future__ import annotations

import time

import pytest

from tunebox import clock


def test_it_is_the_time() -> None:
    before = time.time()
    assert before - 1 < clock.now() < time.time() + 1


def test_setting_the_clock_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first = clock.now()
    real = time.time
    for shift in (-86_400.0, 86_400.0):
        monkeypatch.setattr(time, "time", lambda shift=shift: real() + shift)
        assert first <= clock.now() < first + 60
