from pathlib import Path

from tunebox.records.mlflow_operations import (
    Discard,
    EndTrial,
    LogArtifacts,
    LogMetrics,
    Operation,
    Reopen,
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
    search, b, a = merge(enumerate(operations))
    assert [update.trial_id for update in (search, b, a)] == [None, "b", "a"]
    assert [update.numbers for update in (search, b, a)] == [[0, 5, 7], [1, 3, 6, 8, 9], [2, 4]]
    assert search.files == [Path("search.yaml"), Path("front.png")]
    assert search.params == {"seed": 1}
    assert [values.metrics["m"] for values in b.metrics] == [1.0, 3.0]
    assert b.tags == {"state": "stopped", "pareto": "true"}
    assert b.status == ("FINISHED", 7.0)
    assert a.status is None


def test_the_last_value_of_a_tag_wins() -> None:
    on, off = SetTags("a", {"pareto": "true"}), SetTags("a", {"pareto": None})
    assert merge([(1, on), (2, off)])[0].tags == {"pareto": None}
    assert merge([(1, off), (2, on)])[0].tags == {"pareto": "true"}


def test_a_run_that_goes_on_is_open_until_it_ends_again() -> None:
    end, again = (
        EndTrial("a", "KILLED", {"state": "interrupted"}, 7.0),
        Reopen("a", {"state": "on"}),
    )
    [open_again] = merge([(1, end), (2, again)])
    assert open_again.status == ("RUNNING", None)
    assert open_again.tags == {"state": "on"}
    [ended] = merge([(1, again), (2, end)])
    assert ended.status == ("KILLED", 7.0)


def test_what_was_to_be_done_to_a_discarded_run_is_not_done() -> None:
    start, restart = StartTrial("a", {"x": 1}, {}, 1.0), StartTrial("a", {"y": 2}, {}, 3.0)
    report, again = LogMetrics("a", {"m": 1.0}, 1, 2.0), LogMetrics("a", {"m": 2.0}, 1, 4.0)
    [update] = merge(enumerate([start, report, Discard("a"), restart, again]))
    assert update.numbers == [0, 1, 2, 3, 4]
    assert update.discard
    assert update.start is restart
    assert update.params == {"y": 2}
    assert update.metrics == [again]
