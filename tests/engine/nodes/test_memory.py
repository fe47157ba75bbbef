"""How many trials run at once where memory is scarce."""

from __future__ import annotations

import pytest

from tunebox.engine.nodes.memory import NodeMemory, choose_limit
from tunebox.errors import ClusterError
from tunebox.training.memory import MemoryEstimate

GIB = 2**30
TRIAL = MemoryEstimate(process=GIB // 2, images=GIB // 2, model=GIB, batch=2 * GIB)  # 4 GiB


def node(name: str, num_trials: int, used: float, total: float, share: float = 0.5) -> NodeMemory:
    return NodeMemory(name, num_trials, int(used * GIB), int(total * GIB), int(share * total * GIB))


@pytest.mark.parametrize(
    ("nodes", "max_concurrent", "num_trials", "limit"),
    [
        ([node("a", 4, 0, 32)], None, 100, None),  # 16 GiB: all four
        ([node("a", 5, 0, 32)], None, 100, 4),
        ([node("a", 5, 1, 32)], None, 100, 3),  # 15 of 16 GiB are free
        ([node("a", 5, 1, 32)], 3, 100, 3),
        ([node("a", 5, 1, 32)], 2, 100, 2),
        ([node("a", 5, 1, 32)], None, 3, None),  # no more than three anyway
        ([node("a", 8, 0, 16), node("b", 8, 0, 16), node("c", 8, 8, 9)], None, 100, 4),
        ([node("a", 1, 0, 64), node("b", 8, 0, 8)], None, 100, 2),
    ],
)
def test_limit(
    nodes: list[NodeMemory], max_concurrent: int | None, num_trials: int, limit: int | None
) -> None:
    found, line = choose_limit(TRIAL, nodes, max_concurrent, num_trials)
    assert found == limit
    assert (line is None) == (limit == max_concurrent)


def test_the_line_has_numbers_and_advice() -> None:
    _, line = choose_limit(TRIAL, [node("a", 5, 1, 32)], None, 100)
    assert line == (
        "3 instead of 5 trials run at once: one takes about 4.0 GB (batch 2.0, images 0.5, model "
        "1.0), and a uses 1.0 of 32.0 GB now, and Ray ends processes above 16.0 GB; for more, take "
        "a smaller training/batch_size, data/image_size or model"
    )


def test_what_never_fits_is_refused_with_numbers() -> None:
    with pytest.raises(ClusterError, match=r"takes about 4\.0 GB \(.*\), which no node has: b use"):
        choose_limit(TRIAL, [node("a", 2, 2, 10), node("b", 2, 2, 11)], None, 100)
