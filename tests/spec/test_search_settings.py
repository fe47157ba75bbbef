from __future__ import annotations

import pytest

from tunebox.spec.search_spec import SearchSettings


@pytest.mark.parametrize(
    ("max_epochs", "expected"), [(1, 1), (3, 1), (8, 2), (9, 2), (27, 6), (32, 8), (200, 50)]
)
def test_first_rung_is_at_a_quarter_of_the_epochs(max_epochs: int, expected: int) -> None:
    assert SearchSettings(max_epochs=max_epochs).first_rung == expected


def test_first_rung_that_is_given_is_taken() -> None:
    assert SearchSettings(max_epochs=32, min_epochs=1).first_rung == 1
    assert SearchSettings(max_epochs=32, min_epochs=32).first_rung == 32
