"""How many trials run at once where memory is scarce."""

from __future__ import annotations

import pytest

from tests.engine.make_search import make_spec
from tunebox.data.inspection import Inspection
from tunebox.engine.nodes.memory import (
    NodeMemory,
    choose_limit,
    fit_into_memory,
    limit_by_measured,
)
from tunebox.errors import ClusterError
from tunebox.training.memory import MemoryEstimate

GIB = 2**30
TRIAL = MemoryEstimate(process=GIB // 2, images=GIB // 2, model=GIB, batch=2 * GIB)  # 4 GiB
TAKES = f"takes about {TRIAL}"


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
    found, line = choose_limit(TRIAL.total, TAKES, nodes, max_concurrent, num_trials)
    assert found == limit
    assert (line is None) == (limit == max_concurrent)
    found, line = limit_by_measured(TRIAL.total, nodes, max_concurrent, num_trials)
    assert found == limit
    assert (line is None) == (limit == max_concurrent)


def test_the_line_has_numbers_and_advice() -> None:
    _, line = choose_limit(TRIAL.total, TAKES, [node("a", 5, 1, 32)], None, 100)
    assert line == (
        "3 instead of 5 trials run at once: one takes about 4.0 GB (batch 2.0, images 0.5, model "
        "1.0), and 1.0 of 32.0 GB of a were in use, and Ray ends processes above 16.0 GB; for "
        "more, take a smaller training/batch_size, data/image_size or model"
    )


def test_what_never_fits_is_refused_with_numbers() -> None:
    nodes = [node("a", 2, 2, 10), node("b", 2, 2, 11)]
    reason = r"takes about 4\.0 GB \(.*\), which no node has: 2\.0 of 11\.0 GB of b"
    with pytest.raises(ClusterError, match=reason):
        choose_limit(TRIAL.total, TAKES, nodes, None, 100)


def test_what_runs_already_goes_on_alone_where_it_hardly_fits() -> None:
    limit, line = limit_by_measured(6 * GIB, [node("a", 2, 2, 10)], None, 100)
    assert limit == 1
    assert line == (
        "1 trial runs at once from now on: one took 6.0 GB, and before the trials 2.0 of "
        "10.0 GB of a were in use, and Ray ends processes above 5.0 GB; for more, take a smaller "
        "training/batch_size, data/image_size or model"
    )


SPEC = make_spec()  # its data are of unknown size here: nothing is estimated


@pytest.mark.parametrize(("measured", "limit"), [(0, None), (GIB, None), (5 * GIB, 3)])
def test_what_was_measured_before_a_resume_counts(measured: int, limit: int | None) -> None:
    nodes = [node("a", 4, 1, 32)]
    found, line = fit_into_memory(SPEC, {"CPU": 1.0}, Inspection(), nodes, measured)
    assert found == limit
    assert line is None or "one took 5.0 GB" in line


def test_without_a_node_nothing_is_limited() -> None:
    assert fit_into_memory(SPEC, {"CPU": 1.0}, Inspection(), [], 5 * GIB) == (None, None)
