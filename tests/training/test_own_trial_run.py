"""The run of a training loop of the user's own: what it is given, what it yields, what it saves."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tunebox.parts.code import CodeFinder
from tunebox.spec.own_trial import Loop, OwnTrialConfig
from tunebox.training.own_trial_run import Checkpoint, LoopError, OwnTrialRun
from tunebox.training.run import RunIsOver

Metrics = dict[str, Any]


def make_run(loop: Loop, max_epochs: int = 4, needed: tuple[str, ...] = ()) -> OwnTrialRun:
    code = CodeFinder(objects={"loop": loop})
    tree = {"trial": "object:loop", "config": {"lr": 0.5, "sizes": [1, 2]}}
    config = OwnTrialConfig.model_validate(tree, context=code)
    return OwnTrialRun(config, seed=7, max_epochs=max_epochs, device="cpu", needed=needed)


def walk(seen: list[int], every: int = 1) -> Loop:
    """A random walk that saves where it is after each ``every`` epochs; ``seen`` counts epochs."""

    def loop(config: dict[str, Any], seed: int, max_epochs: int, checkpoint: Checkpoint) -> Any:
        generator, place = torch.Generator().manual_seed(seed), torch.zeros(2)
        saved = checkpoint.load()
        if saved is not None:
            generator.set_state(saved["generator"])
            place = saved["place"]
        for epoch in range(checkpoint.epoch + 1, max_epochs + 1):
            seen.append(epoch)
            place += torch.randn(2, generator=generator)  # in place: what was saved is a copy
            if epoch % every == 0:
                checkpoint.save(place=place, generator=generator.get_state())
            yield {"x": place[0], "y": float(place[1])}

    return loop


def trained(run: OwnTrialRun) -> Metrics:
    metrics: Metrics = run.run_epoch()
    del metrics["train_seconds"]
    return metrics


def stored(run: OwnTrialRun) -> dict[str, Any]:
    """The state of a run as a checkpoint in a file gives it back."""
    buffer = io.BytesIO()
    torch.save(run.state_dict(), buffer)
    buffer.seek(0)
    state: dict[str, Any] = torch.load(buffer, weights_only=True)
    return state


def test_the_loop_gets_what_it_asks_for() -> None:
    given: dict[str, Any] = {}

    def loop(config: dict[str, Any], *, device: torch.device, **more: Any) -> Iterator[Metrics]:
        given.update(config=config, device=device, **more)
        config["lr"] = 9.0  # its own copy
        yield {"loss": 1}

    run = make_run(loop)
    assert trained(run) == {"loss": 1.0}
    assert isinstance(given.pop("checkpoint"), Checkpoint)
    device = torch.device("cpu")
    config = {"lr": 9.0, "sizes": [1, 2]}
    assert given == {"config": config, "device": device, "seed": 7, "max_epochs": 4}
    trained(make_run(loop))
    assert run._config.config["lr"] == 0.5


@pytest.mark.parametrize("every", [1, 2, 3, 9])
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_run_taken_up_again_goes_on_behind_its_checkpoint(every: int, cut: int) -> None:
    """With every third epoch saved, epochs behind the last one saved are run a second time."""
    seen: list[int] = []
    whole = make_run(walk(seen, every))
    expected = [trained(whole) for _ in range(4)]
    first = make_run(walk([], every))
    reports = [trained(first) for _ in range(cut)]
    again = make_run(walk(seen, every))
    again.load_state_dict(stored(first))
    seen.clear()
    assert again.epoch == cut
    reports += [trained(again) for _ in range(4 - cut)]
    assert reports == expected
    assert seen == list(range(cut // every * every + 1, 5))
    with pytest.raises(ValueError, match="has had its max_epochs=4"):
        trained(again)


def test_without_a_checkpoint_the_loop_starts_again_and_reports_nothing_twice() -> None:
    seen: list[int] = []

    def loop(config: dict[str, Any], max_epochs: int) -> Iterator[Metrics]:
        for epoch in range(max_epochs):
            seen.append(epoch)
            yield {"square": epoch**2}

    first = make_run(loop)
    assert [trained(first), trained(first)] == [{"square": 0}, {"square": 1}]
    assert first.weights() == {}
    again = make_run(loop)
    again.load_state_dict(stored(first))
    assert [trained(again), trained(again)] == [{"square": 4}, {"square": 9}]
    assert seen == [0, 1, 0, 1, 2, 3]


def test_what_is_exported_was_saved_last() -> None:
    run = make_run(walk([], every=2))
    assert run.weights() == {}
    for _ in range(3):
        last = trained(run)
    place = run.weights()["saved"]["place"]
    other = make_run(walk([]))
    assert place[0] == [trained(other) for _ in range(2)][1]["x"] != last["x"]


def test_a_checkpoint_keeps_copies_of_plain_data() -> None:
    checkpoint, weight = Checkpoint(), torch.nn.Parameter(torch.ones(2))
    model = torch.nn.BatchNorm1d(2)
    optimizer = torch.optim.Adam([weight])
    weight.sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "weight": weight}
    assert checkpoint.load() is None
    checkpoint.save(**state, note=("a", None, 1, 2.5, True))
    with torch.no_grad():
        weight.zero_()
    found = checkpoint.load()
    assert found is not None
    assert found["weight"].tolist() != [0, 0]
    assert not found["weight"].requires_grad
    assert found["note"] == ("a", None, 1, 2.5, True)
    model.load_state_dict(found["model"])
    optimizer.load_state_dict(found["optimizer"])
    found["weight"].zero_()
    again = checkpoint.load()
    assert again is not None
    assert again["weight"].tolist() != [0, 0]


def test_what_cannot_be_saved_is_named() -> None:
    with pytest.raises(TypeError, match=r"checkpoint.save: a/1/x is a object; save tensors"):
        Checkpoint().save(a=[0, {"x": object()}])


def _yields(*reports: Any) -> Loop:
    def loop(config: dict[str, Any]) -> Iterator[Any]:
        yield from reports

    return loop


def test_a_loop_may_end_early() -> None:
    run = make_run(_yields({"acc": 1}, {"acc": 2}))
    assert [trained(run), trained(run)] == [{"acc": 1}, {"acc": 2}]
    with pytest.raises(RunIsOver):
        trained(run)
    again = make_run(_yields({"acc": 1}, {"acc": 2}))
    again.load_state_dict(stored(run))
    with pytest.raises(RunIsOver):
        trained(again)
    other = make_run(_yields({"acc": 1}))
    other.load_state_dict(stored(run))
    with pytest.raises(LoopError, match="returns after 1 epochs although it yielded 2 before"):
        trained(other)


MISTAKES = [
    ((), "loop: returns before its first yield"),
    ((3.5,), "loop: yields 3.5; yield {metric: value} after each epoch"),
    ((None,), "loop: yields None; yield"),
    (({"acc": "0.9"},), "loop: yields acc='0.9', which is no number"),
    (({"acc": torch.ones(2)},), "loop: yields acc=tensor([1., 1.]), which is no number"),
    (({"loss": 1.0},), "loop: yields loss without 'acc', by which the search file judges it"),
    (({},), "loop: yields nothing without 'acc'"),
    (({"acc": 1.0, 3: 1.0},), "yields a wrong name: 3 is no name of a metric"),
    (({"acc": 1.0, "a b": 1.0},), "yields a wrong name: 'a b' is no name of a metric"),
    (({"acc": 1.0, "epoch": 1.0},), "yields a wrong name: 'epoch' is a column of the tables"),
]


@pytest.mark.parametrize(("reports", "message"), MISTAKES, ids=str)
def test_a_wrong_yield_is_one_line(reports: tuple[Any, ...], message: str) -> None:
    with pytest.raises(LoopError) as raised:
        make_run(_yields(*reports), needed=("acc",)).run_epoch()
    assert message in str(raised.value)
    assert str(raised.value).startswith(f"{__file__}:")
    assert "\n" not in str(raised.value)


def test_its_time_is_measured_over_all_processes() -> None:
    def loop(config: dict[str, Any], max_epochs: int) -> Iterator[Metrics]:
        for _ in range(max_epochs):
            time.sleep(0.02)
            yield {"loss": 1.0}

    first = make_run(loop, needed=("loss", "train_seconds"))
    seconds = [first.run_epoch()["train_seconds"] for _ in range(2)]
    assert 0.02 <= seconds[0] <= seconds[1] - 0.02
    again = make_run(loop)
    again.load_state_dict(stored(first))
    assert again.run_epoch()["train_seconds"] >= seconds[1] + 0.02
    own = make_run(_yields({"train_seconds": 7}))
    assert own.run_epoch() == {"train_seconds": 7.0}
