from pathlib import Path

from tunebox.records.mlflow_operations import (
    EndTrial,
    LogArtifacts,
    LogMetrics,
    Operation,
    SetTags,
    StartSearch,
    StartTrial,
)
from tunebox.records.run_updates import merge


def test_operations_are_put_together_run_by_run() -> None:
    operations: list[Operation] = [
        StartSearch("s", {"seed": 1}, {}, (Path("search.yaml"),), 0.0),
        StartTrial("b", {"x": 1}, {}, 1.0),
        StartTrial("a", {"x": 2}, {}, 2.0),
        LogMetrics("b", {"m": 1.0}, 1, 3.0),
        LogMetrics("a", {"m": 2.0}, 1, 4.0),
        LogMetrics(None, {"hypervolume": 0.0}, 0, 5.0),
        LogMetrics("b", {"m": 3.0}, 2, 6.0),
        LogArtifacts((Path("front.png"),)),
        EndTrial("b", "FINISHED", {"state": "stopped"}, 7.0),
        SetTags("b", {"pareto": "true"}),
    ]
    search, b, a = merge(operations)
    assert [update.trial_id for update in (search, b, a)] == [None, "b", "a"]
    assert [update.num_operations for update in (search, b, a)] == [3, 5, 2]
    assert search.files == [Path("search.yaml"), Path("front.png")]
    assert search.params == {"seed": 1}
    assert [values.metrics["m"] for values in b.metrics] == [1.0, 3.0]
    assert b.tags == {"state": "stopped", "pareto": "true"}
    assert b.end is operations[8]
    assert a.end is None


def test_the_last_value_of_a_tag_wins() -> None:
    on, off = SetTags("a", {"pareto": "true"}), SetTags("a", {"pareto": None})
    assert merge([on, off])[0].tags == {"pareto": None}
    assert merge([off, on])[0].tags == {"pareto": "true"}
